"""The layered neuron graph of a layer or two, and the page and files it is taken as."""

from llmrank.report.network.files import graphml, network_table
from llmrank.report.network.graph import NetworkSpec, network
from llmrank.report.network.page import html, node_facts

__all__ = [
    "NetworkSpec",
    "graphml",
    "html",
    "network",
    "network_table",
    "node_facts",
]
