"""The layered neuron graph of a layer or two, and the page and files it is taken as."""

from llmrank.network.files import as_table, graphml
from llmrank.network.graph import MAX_EDGES, MAX_NODES, NetworkSpec, network
from llmrank.network.page import html

__all__ = [
    "MAX_EDGES",
    "MAX_NODES",
    "NetworkSpec",
    "as_table",
    "graphml",
    "html",
    "network",
]
