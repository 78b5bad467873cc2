"""Runs NIR graphs, step by step in NumPy, from NIR's definitions alone: nothing of kernl_keras is used.

Every node is solved over a step of dt by Euler's method, or exactly for an input that is constant over it. A node hears
the sum of the edges that lead to it. A node that hears itself, by way of others, hears what they sent one step ago.
"""

import collections

import numpy as np


def run(graph, inputs, dt, exact=False):
    """What each output of the graph's nodes was at every step.

    Args:
        graph: `nir.NIRGraph`.
        inputs: [B, T, I].
        dt: length of a step, in the graph's unit of time.
        exact: whether to take exp(-dt/tau) for 1 - dt/tau.

    Returns:
        `{name: [B, T, n]}`; those of a subgraph as "subgraph/node", potentials before a reset as "subgraph/node v".
    """
    nodes, edges = flat(graph)
    order = in_order(nodes, edges)
    place = {name: n for n, name in enumerate(order)}
    sent = {name: np.zeros((len(inputs), 1)) for name in order}
    memory, record = {}, collections.defaultdict(list)
    for x in np.moveaxis(np.asarray(inputs, "float64"), 1, 0):
        before, sent = sent, {}
        for name in order:
            # An edge from a node that comes later in this step brings what that node sent in the step before.
            heard = [sent[a] if place[a] < place[name] else before[a] for a, b in edges if b == name]
            total = sum(heard) if heard else x
            sent[name], v = step(nodes[name], total, memory.get(name), dt, exact)
            record[name].append(sent[name])
            if v is not None:
                record[f"{name} v"].append(v)
                memory[name] = v if type(nodes[name]).__name__ == "LI" else np.where(sent[name], nodes[name].v_reset, v)
    return {name: np.stack(values, 1) for name, values in record.items()}


def step(node, x, v, dt, exact):
    """One step of one node [B, n]: what it sends, and its potential before a reset, or None."""
    kind = type(node).__name__
    if kind in ("Input", "Output"):
        return x, None
    if kind == "Linear":  # y = W x
        return x @ node.weight.astype("float64").T, None
    if kind == "Affine":  # y = W x + b
        return x @ node.weight.astype("float64").T + node.bias, None
    if kind == "Scale":  # y = s x
        return node.scale * x, None
    if kind == "Threshold":  # z = 1 where x > threshold
        return np.where(x > node.threshold, 1.0, 0.0), None
    if kind not in ("LI", "LIF"):
        raise ValueError(f"no definition of {kind}")
    v = np.zeros(node.v_leak.shape) if v is None else v
    goal = node.v_leak + node.r * x  # tau dv/dt = (v_leak - v) + r I
    v = goal + np.exp(-dt / node.tau) * (v - goal) if exact else v + dt / node.tau * (goal - v)
    return (v, v) if kind == "LI" else (np.where(v > node.v_threshold, 1.0, 0.0), v)


def flat(graph, prefix=""):
    """The nodes, and the edges, with those of subgraphs among them in place of the subgraphs."""
    nodes, edges, door = {}, [], {}
    for name, node in graph.nodes.items():
        if type(node).__name__ == "NIRGraph":
            inner, inner_edges = flat(node, f"{prefix}{name}/")
            nodes |= inner
            edges += inner_edges
            kinds = {type(part).__name__: f"{prefix}{name}/{key}" for key, part in node.nodes.items()}
            door[name] = kinds["Input"], kinds["Output"]
        else:
            nodes[prefix + name] = node
            door[name] = (prefix + name,) * 2
    return nodes, edges + [(door[a][1], door[b][0]) for a, b in graph.edges]


def in_order(nodes, edges):
    """The nodes by their distance from the input, so that what an input sends goes through in one step."""
    later = {b for _, b in edges}
    order = [name for name, node in nodes.items() if type(node).__name__ == "Input" and name not in later]
    for name in order:  # grows while it runs
        order += [b for a, b in edges if a == name and b not in order]
    return order
