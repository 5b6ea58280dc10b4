from crossloom.network.graph import Graph


def rewritten(graph: Graph) -> tuple[Graph, tuple[str, ...]]:
    raise NotImplementedError
