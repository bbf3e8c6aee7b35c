//! Reading a plan in place.

use super::bits::Bits;
use super::{
    ATTR_LEN, Damaged, HEADER_LEN, MAGIC, MAX_ENTRIES, MAX_NAME, MAX_RANK, NAME_LEN, NODE_LEN, NONE,
    OPEN_DIM, VALUE_LEN, VERSION, ValueId, kind,
};
use crate::attr::{AttrRef, List, LittleEndian};
use crate::dtype::DType;

/// How a value comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// Given by the caller.
    Input,
    /// A constant, by index.
    Constant(u32),
    /// Written by a node.
    Intermediate,
}

/// A checked plan.
#[derive(Debug, Clone, Copy)]
pub struct PlanView<'a> {
    values: &'a [u8],
    nodes: &'a [u8],
    edges: &'a [u8],
    dims: &'a [u8],
    attrs: &'a [u8],
    names: &'a [u8],
    payload: &'a [u8],
    text: &'a str,
    inputs: u32,
    outputs: u32,
    arena_len: u64,
}

/// Field `i` of the record at `at`; 0 past the end, which `parse` has excluded.
fn field(table: &[u8], at: usize, i: usize) -> u32 {
    table.get(at..).and_then(|rest| u32::read(rest, i)).unwrap_or(0)
}

/// This field and the next.
fn pair(table: &[u8], at: usize, i: usize) -> (usize, usize) {
    (field(table, at, i) as usize, field(table, at, i + 1) as usize)
}

const fn damaged(what: &'static str, offset: usize) -> Damaged {
    Damaged { what, offset }
}

impl<'a> PlanView<'a> {
    /// Checks bytes to be a plan, in memory that the caller lends: [`scratch_len`](super::scratch_len) bytes.
    ///
    /// # Errors
    /// [`Damaged`] with the part and the place that cannot be; also where the scratch is too short.
    pub fn parse_with(bytes: &'a [u8], scratch: &mut [u8]) -> Result<Self, Damaged> {
        if bytes.len() < HEADER_LEN || bytes[..4] != MAGIC {
            return Err(damaged("magic", 0));
        }
        if u16::from_le_bytes([bytes[4], bytes[5]]) != VERSION {
            return Err(damaged("version", 4));
        }
        let counts: [usize; 4] = core::array::from_fn(|i| field(bytes, 8, i) as usize);
        let arena_len = u64::from(field(bytes, 24, 0)) | u64::from(field(bytes, 24, 1)) << 32;
        let mut at = HEADER_LEN;
        let mut tables: [&[u8]; 8] = [&[]; 8];
        for (i, table) in tables.iter_mut().enumerate() {
            at = at.next_multiple_of(8);
            let len = field(bytes, 32, i) as usize;
            let end = at
                .checked_add(len)
                .ok_or_else(|| damaged("table length", 32 + 4 * i))?;
            *table = bytes
                .get(at..end)
                .ok_or_else(|| damaged("table length", 32 + 4 * i))?;
            at = end;
        }
        let [values, nodes, edges, dims, attrs, names, payload, text] = tables;
        let text = core::str::from_utf8(text).map_err(|_| damaged("text", at))?;
        let view = Self {
            values,
            nodes,
            edges,
            dims,
            attrs,
            names,
            payload,
            text,
            inputs: counts[2] as u32,
            outputs: counts[3] as u32,
            arena_len,
        };
        view.check_tables(counts)?;
        view.check_names()?;
        view.check_values()?;
        view.check_attributes()?;
        view.check_nodes(scratch)?;
        Ok(view)
    }

    fn check_tables(&self, [values, nodes, inputs, outputs]: [usize; 4]) -> Result<(), Damaged> {
        let fits = [
            (self.values.len(), VALUE_LEN, Some(values)),
            (self.nodes.len(), NODE_LEN, Some(nodes)),
            (self.edges.len(), 4, None),
            (self.dims.len(), 8, None),
            (self.attrs.len(), ATTR_LEN, None),
            (self.names.len(), NAME_LEN, None),
        ];
        for (i, (len, record, count)) in fits.into_iter().enumerate() {
            let entries = len / record;
            if len % record != 0 || entries > MAX_ENTRIES || count.is_some_and(|count| count != entries) {
                return Err(damaged("table length", 32 + 4 * i));
            }
        }
        let edges = self.edges.len() / 4;
        if inputs.checked_add(outputs).is_none_or(|ends| ends > edges) {
            return Err(damaged("number of inputs and outputs", 16));
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), Damaged> {
        for at in (0..self.names.len()).step_by(NAME_LEN) {
            let (start, len) = pair(self.names, at, 0);
            let name = start.checked_add(len).and_then(|end| self.text.get(start..end));
            if name.is_none() || len > MAX_NAME {
                return Err(damaged("name", at));
            }
        }
        Ok(())
    }

    fn has_name(&self, index: u32) -> bool {
        (index as usize) < self.names.len() / NAME_LEN
    }

    fn check_values(&self) -> Result<(), Damaged> {
        let mut dims_left = self.dims.len() / 8;
        for at in (0..self.values.len()).step_by(VALUE_LEN) {
            let [kind, dtype] = [self.values[at + 4], self.values[at + 5]];
            let (rank, first) = pair(self.values, at, 2);
            let dims = first
                .checked_add(rank)
                .and_then(|end| self.dims.get(first.checked_mul(8)?..end.checked_mul(8)?));
            let typed = dtype == 0 || DType::from_code(i32::from(dtype)).is_some();
            let constant = field(self.values, at, 4);
            // No two values share dimensions: what a caller copies is no larger than the plan.
            dims_left = match dims_left.checked_sub(rank) {
                Some(left) if rank <= MAX_RANK => left,
                _ => return Err(damaged("number of dimensions", at)),
            };
            if kind > 2 || !typed || dims.is_none() || !self.has_name(field(self.values, at, 0)) {
                return Err(damaged("value", at));
            }
            if (kind == 2) != (constant != NONE) {
                return Err(damaged("constant", at));
            }
        }
        for i in 0..self.dims.len() / 8 {
            let dim = i64::read(self.dims, i).unwrap_or(0);
            let named = u32::try_from(-1 - dim.max(OPEN_DIM + 1)).is_ok_and(|name| self.has_name(name));
            if dim < 0 && dim != OPEN_DIM && !named {
                return Err(damaged("dimension", i * 8));
            }
        }
        Ok(())
    }

    fn check_attributes(&self) -> Result<(), Damaged> {
        for at in (0..self.attrs.len()).step_by(ATTR_LEN) {
            let [name, kind, offset, count, _]: [u32; 5] = core::array::from_fn(|i| field(self.attrs, at, i));
            let size = match kind {
                kind::INT => (count == 1).then_some(8),
                kind::FLOAT => (count == 1).then_some(4),
                kind::STRING | kind::GRAPH => Some(count as usize),
                kind::INTS => (count as usize).checked_mul(8),
                kind::FLOATS => (count as usize).checked_mul(4),
                _ => None,
            };
            let inside = size.and_then(|size| {
                self.payload
                    .get(offset as usize..(offset as usize).checked_add(size)?)
            });
            if inside.is_none() || !self.has_name(name) {
                return Err(damaged("attribute", at));
            }
        }
        Ok(())
    }

    /// Indices in range, and every value written before it is read.
    fn check_nodes(&self, scratch: &mut [u8]) -> Result<(), Damaged> {
        let mut written = Bits::new(scratch, self.value_count())?;
        for v in self.inputs() {
            if v.index() >= self.value_count() || self.value(v).kind != ValueKind::Input {
                return Err(damaged("inputs and outputs", 16));
            }
            written.set(v.index());
        }
        for v in 0..self.value_count() {
            match self.value(ValueId(v as u32)).kind {
                ValueKind::Constant(_) => written.set(v),
                // Nobody would write it.
                ValueKind::Input if !written.has(v) => return Err(damaged("value", v * VALUE_LEN)),
                _ => {}
            }
        }
        let (edges, attrs) = (self.edges.len() / 4, self.attrs.len() / ATTR_LEN);
        // No two nodes share entries: reading all of them takes no longer than the plan.
        let (mut edges_left, mut attrs_left) = (edges, attrs);
        for at in (0..self.nodes.len()).step_by(NODE_LEN) {
            let names_fit = (0..3).all(|i| self.has_name(field(self.nodes, at, i)));
            let node = NodeView { plan: *self, at };
            let [inputs, outputs, attributes, _] = node.counts();
            let edge_end = (field(self.nodes, at, 3) as usize).checked_add(inputs + outputs);
            let attr_end = (field(self.nodes, at, 6) as usize).checked_add(attributes);
            if !names_fit || edge_end.is_none_or(|end| end > edges) || attr_end.is_none_or(|end| end > attrs)
            {
                return Err(damaged("node", at));
            }
            let left = edges_left.checked_sub(inputs + outputs);
            let Some(left) = left.zip(attrs_left.checked_sub(attributes)) else {
                return Err(damaged("number of edges or attributes", at));
            };
            (edges_left, attrs_left) = left;
            if node.inputs().flatten().any(|v| !written.has(v.index())) {
                return Err(damaged("order of nodes", at));
            }
            for v in node.outputs().flatten() {
                if v.index() >= self.value_count() || written.has(v.index()) {
                    return Err(damaged("output of a node", at));
                }
                written.set(v.index());
            }
        }
        let ends_fit = self.ends().all(|v| written.has(v.index()));
        ends_fit.then_some(()).ok_or(damaged("inputs and outputs", 16))
    }

    fn name(&self, index: u32) -> &'a str {
        let at = index as usize * NAME_LEN;
        let (start, len) = pair(self.names, at, 0);
        self.text.get(start..start + len).unwrap_or("")
    }

    /// Number of values.
    #[must_use]
    pub fn value_count(&self) -> usize {
        self.values.len() / VALUE_LEN
    }

    /// Number of nodes.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len() / NODE_LEN
    }

    /// Bytes of the arena laid out when packing; 0 where the layout is made at run time.
    #[must_use]
    pub fn arena_len(&self) -> u64 {
        self.arena_len
    }

    /// Bytes this plan takes, all tables together.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        let tables = [
            self.values,
            self.nodes,
            self.edges,
            self.dims,
            self.attrs,
            self.names,
            self.payload,
        ];
        HEADER_LEN + tables.iter().map(|table| table.len()).sum::<usize>() + self.text.len()
    }

    /// A value. Indices come from this plan; one that does not reads as an unnamed intermediate.
    #[must_use]
    pub fn value(&self, id: ValueId) -> ValueView<'a> {
        let at = id.index() * VALUE_LEN;
        let kind = match self.values.get(at + 4) {
            Some(1) => ValueKind::Input,
            Some(2) => ValueKind::Constant(field(self.values, at, 4)),
            _ => ValueKind::Intermediate,
        };
        let offset = u64::from(field(self.values, at, 6)) | u64::from(field(self.values, at, 7)) << 32;
        ValueView {
            plan: *self,
            name: self.name(field(self.values, at, 0)),
            kind,
            dtype: self
                .values
                .get(at + 5)
                .and_then(|&code| DType::from_code(i32::from(code))),
            first_dim: field(self.values, at, 3) as usize,
            rank: field(self.values, at, 2) as usize,
            arena_offset: (offset != u64::MAX).then_some(offset),
        }
    }

    /// A node.
    #[must_use]
    pub fn node(&self, index: usize) -> NodeView<'a> {
        NodeView {
            plan: *self,
            at: index * NODE_LEN,
        }
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeView<'a>> + use<'a> {
        let plan = *self;
        (0..self.node_count()).map(move |index| plan.node(index))
    }

    fn ends(&self) -> impl Iterator<Item = ValueId> + use<'a> {
        let (edges, count) = (self.edges, (self.inputs + self.outputs) as usize);
        let first = edges.len() / 4 - count;
        (first..first + count).map(move |i| ValueId(u32::read(edges, i).unwrap_or(NONE)))
    }

    /// What a caller gives.
    pub fn inputs(&self) -> impl Iterator<Item = ValueId> + use<'a> {
        self.ends().take(self.inputs as usize)
    }

    /// What a caller gets.
    pub fn outputs(&self) -> impl Iterator<Item = ValueId> + use<'a> {
        self.ends().skip(self.inputs as usize)
    }
}

/// A value of a plan.
#[derive(Debug, Clone, Copy)]
pub struct ValueView<'a> {
    plan: PlanView<'a>,
    /// ONNX name.
    pub name: &'a str,
    /// How it comes to be.
    pub kind: ValueKind,
    /// Where it lies in the arena laid out when packing.
    pub arena_offset: Option<u64>,
    dtype: Option<DType>,
    first_dim: usize,
    rank: usize,
}

/// A dimension of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DimView<'a> {
    /// A number.
    Fixed(i64),
    /// A number that only a run knows, by name.
    Symbol(&'a str),
    /// A number that only a run knows.
    Unknown,
}

impl<'a> ValueView<'a> {
    /// Element type, as far as it was known when packing.
    #[must_use]
    pub const fn dtype(&self) -> Option<DType> {
        self.dtype
    }

    /// Dimensions; of a value without an element type they are not known.
    pub fn dims(&self) -> impl ExactSizeIterator<Item = DimView<'a>> + Clone + use<'a> {
        let plan = self.plan;
        (self.first_dim..self.first_dim + self.rank).map(move |i| {
            match i64::read(plan.dims, i).unwrap_or(OPEN_DIM) {
                OPEN_DIM => DimView::Unknown,
                n @ 0.. => DimView::Fixed(n),
                name => DimView::Symbol(plan.name((-1 - name) as u32)),
            }
        })
    }
}

/// A node of a plan.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a> {
    plan: PlanView<'a>,
    at: usize,
}

impl<'a> NodeView<'a> {
    /// The plan that it stands in.
    #[must_use]
    pub fn plan(&self) -> PlanView<'a> {
        self.plan
    }

    fn counts(&self) -> [usize; 4] {
        let word = |i| field(self.plan.nodes, self.at, i);
        [word(4) & 0xffff, word(4) >> 16, word(5) & 0xffff, word(5) >> 16].map(|n| n as usize)
    }

    fn edges(
        &self,
        skip: usize,
        count: usize,
    ) -> impl ExactSizeIterator<Item = Option<ValueId>> + Clone + use<'a> {
        let first = field(self.plan.nodes, self.at, 3) as usize + skip;
        let edges = self.plan.edges;
        (first..first + count).map(move |i| u32::read(edges, i).filter(|&v| v != NONE).map(ValueId))
    }

    /// ONNX name; may be empty.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.plan.name(field(self.plan.nodes, self.at, 0))
    }

    /// Operator domain.
    #[must_use]
    pub fn domain(&self) -> &'a str {
        self.plan.name(field(self.plan.nodes, self.at, 1))
    }

    /// Operator name.
    #[must_use]
    pub fn op_type(&self) -> &'a str {
        self.plan.name(field(self.plan.nodes, self.at, 2))
    }

    /// Opset version of the domain.
    #[must_use]
    pub fn opset(&self) -> u16 {
        self.counts()[3] as u16
    }

    /// What it reads; none where an optional input is left out.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Option<ValueId>> + Clone + use<'a> {
        self.edges(0, self.counts()[0])
    }

    /// What it writes; none where an optional output is not wanted.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = Option<ValueId>> + Clone + use<'a> {
        let [inputs, outputs, ..] = self.counts();
        self.edges(inputs, outputs)
    }

    /// Attributes, as the plan has them.
    #[must_use]
    pub fn plan_attrs(&self) -> PlanAttrs<'a> {
        let first = field(self.plan.nodes, self.at, 6) as usize;
        PlanAttrs {
            plan: self.plan,
            first,
            count: self.counts()[2],
        }
    }
}

/// Attributes of a node of a plan.
#[derive(Debug, Clone, Copy)]
pub struct PlanAttrs<'a> {
    plan: PlanView<'a>,
    first: usize,
    count: usize,
}

impl<'a> PlanAttrs<'a> {
    /// The attribute of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<AttrRef<'a>> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, AttrRef<'a>)> + use<'a> {
        let plan = self.plan;
        (self.first..self.first + self.count).map(move |i| {
            let at = i * ATTR_LEN;
            (plan.name(field(plan.attrs, at, 0)), plan.attribute(at))
        })
    }
}

impl<'a> PlanView<'a> {
    fn attribute(&self, at: usize) -> AttrRef<'a> {
        let [kind, offset, count] = [1, 2, 3].map(|i| field(self.attrs, at, i));
        let start = offset as usize;
        let payload = self.payload.get(start..).unwrap_or(&[]);
        let bytes = |size: usize| payload.get(..count as usize * size).unwrap_or(&[]);
        match kind {
            kind::INT => AttrRef::Int(i64::read(bytes(8), 0).unwrap_or(0)),
            kind::FLOAT => AttrRef::Float(f32::read(bytes(4), 0).unwrap_or(0.0)),
            kind::STRING => AttrRef::String(bytes(1)),
            kind::INTS => AttrRef::Ints(List::Bytes(bytes(8))),
            kind::FLOATS => AttrRef::Floats(List::Bytes(bytes(4))),
            _ => AttrRef::Other,
        }
    }
}
