"""The layered neuron graph of a layer or two, and the page and files it is taken as."""

from llmrank.report.network.columns import NetworkSpec
from llmrank.report.network.files import dimension_tables, graphml, network_table
from llmrank.report.network.graph import network
from llmrank.report.network.page import html, most_central, signed
from llmrank.report.network.parts import score_parts

__all__ = [
    "NetworkSpec",
    "dimension_tables",
    "graphml",
    "html",
    "most_central",
    "network",
    "network_table",
    "score_parts",
    "signed",
]
