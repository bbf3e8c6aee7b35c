//! Edits that keep a graph whole: single writers, names of outputs, inputs untouched.

use sanderling_core::{Attrs, Graph, Node, ValueId};

/// Who writes each value, who reads it, and whether the graph gives it out: looked up instead of searched for, so that
/// a pass takes as long as the graph is. It stays right through the edits that are made by it.
pub(super) struct Uses {
    writers: Vec<Option<usize>>,
    /// Nodes that read a value, once for each time. Of constants it may list nodes that read them no more.
    readers: Vec<Vec<usize>>,
    given_out: Vec<bool>,
}

impl Uses {
    /// The uses of a graph as it is.
    pub(super) fn of(graph: &Graph) -> Self {
        let mut given_out = vec![false; graph.values.len()];
        graph.outputs.iter().for_each(|id| given_out[id.index()] = true);
        Self {
            writers: graph.producers(),
            readers: graph.consumers(),
            given_out,
        }
    }

    fn readers(&self, value: ValueId) -> &[usize] {
        // A value that was added since is read by nobody yet.
        self.readers.get(value.index()).map_or(&[], Vec::as_slice)
    }

    /// The node that writes a value.
    pub(super) fn writer(&self, value: ValueId) -> Option<usize> {
        self.writers.get(value.index()).copied().flatten()
    }

    /// Whether the value is an output of the graph.
    pub(super) fn is_given_out(&self, value: ValueId) -> bool {
        self.given_out.get(value.index()).is_some_and(|&given| given)
    }

    /// Whether a node reads the value.
    pub(super) fn is_read(&self, value: ValueId) -> bool {
        !self.readers(value).is_empty()
    }

    /// The node that alone reads the value, once, if the graph does not give it out.
    pub(super) fn only_reader(&self, value: ValueId) -> Option<usize> {
        match self.readers(value) {
            [reader] if !self.is_given_out(value) => Some(*reader),
            _ => None,
        }
    }

    /// Makes every node that reads `from` read `to`.
    pub(super) fn replace(&mut self, graph: &mut Graph, from: ValueId, to: ValueId) {
        if from == to {
            return;
        }
        for index in std::mem::take(&mut self.readers[from.index()]) {
            let inputs = graph.nodes[index].inputs.iter_mut().flatten();
            inputs.filter(|id| **id == from).for_each(|id| *id = to);
            self.readers[to.index()].push(index);
        }
    }

    /// Makes one input of a node another value.
    pub(super) fn set_input(&mut self, graph: &mut Graph, index: usize, slot: usize, to: Option<ValueId>) {
        let from = std::mem::replace(&mut graph.nodes[index].inputs[slot], to);
        if let Some(from) = from.filter(|id| graph.constant(*id).is_none()) {
            let readers = &mut self.readers[from.index()];
            if let Some(at) = readers.iter().position(|&reader| reader == index) {
                readers.swap_remove(at);
            }
        }
        if let Some(to) = to {
            self.readers[to.index()].push(index);
        }
    }

    /// Has the node at `index` write what the one at `from` writes, which is left empty: without inputs and outputs.
    pub(super) fn take_outputs(&mut self, graph: &mut Graph, index: usize, from: usize) {
        let emptied = std::mem::take(&mut graph.nodes[from]);
        let computed = |id: &ValueId| graph.constant(*id).is_none();
        for value in emptied.inputs.into_iter().flatten().filter(computed) {
            self.readers[value.index()].retain(|&reader| reader != from);
        }
        for value in emptied.outputs.iter().flatten() {
            self.writers[value.index()] = Some(index);
        }
        graph.nodes[index].outputs = emptied.outputs;
    }

    /// Takes a node that gives back its first input out of the way: readers of its first output read the input.
    ///
    /// The node stays, without readers, for the pass `dead` to remove. Where its output is an output of the graph,
    /// the input's writer writes it instead, which is not possible if the input is given, a constant or itself an
    /// output: then nothing is changed.
    pub(super) fn bypass(&mut self, graph: &mut Graph, index: usize) -> bool {
        let node = &graph.nodes[index];
        let (Some(&Some(input)), Some(&Some(output))) = (node.inputs.first(), node.outputs.first()) else {
            return false;
        };
        if !self.is_given_out(output) {
            let used = self.is_read(output);
            self.replace(graph, output, input);
            return used;
        }
        let Some(writer) = self.writer(input) else {
            return false;
        };
        if self.is_given_out(input) {
            return false;
        }
        let slots = graph.nodes[writer].outputs.iter_mut();
        slots
            .filter(|id| **id == Some(input))
            .for_each(|id| *id = Some(output));
        self.replace(graph, input, output);
        graph.nodes.remove(index);
        *self = Self::of(graph);
        true
    }
}

/// A node's attributes.
pub(super) fn attrs(node: &Node) -> Attrs<'_> {
    Attrs::of_graph(&node.attributes)
}

/// An input of a node.
pub(super) fn input(node: &Node, index: usize) -> Option<ValueId> {
    node.inputs.get(index).copied().flatten()
}

/// The first output of a node.
pub(super) fn output(node: &Node) -> Option<ValueId> {
    node.outputs.first().copied().flatten()
}

/// The integers of a constant input.
pub(super) fn const_ints(graph: &Graph, node: &Node, index: usize) -> Option<Vec<i64>> {
    graph.constant(input(node, index)?)?.view().to_i64s()
}
