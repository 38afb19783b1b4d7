//! The text of a condition → a [`Node`], or what is wrong with it and what to do.

use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use regex::RegexBuilder;

use super::{
    Calculation, Comparison, Condition, Conversion, DEPTH_MAX, NODES_MAX, Node, PATTERN_BYTES_MAX, SOURCE_BYTES_MAX,
    Search, Value, evaluate,
};
use crate::{
    ingest::keys::suggestion,
    wire::{Capture, Slot},
};

/// What there is, as functions or methods.
const FUNCTIONS: [&str; 13] = [
    "has",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "lowerAscii",
    "upperAscii",
    "trim",
    "int",
    "double",
    "string",
    "timestamp",
];
/// Macros of CEL that loop, and functions that make what is not there.
const LOOPS: [&str; 6] = ["all", "exists", "exists_one", "existsOne", "map", "filter"];

pub(super) fn compile(
    source: &str,
    has_elements: bool,
    place: &mut dyn FnMut(&str) -> Result<Slot, String>,
) -> Result<Condition, String> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(format!("it is longer than {SOURCE_BYTES_MAX} bytes; say it shorter"));
    }
    // Without macros: they make loops, and take `has` of nothing but a field of a field.
    let parser = cel::Env::default().parser().enable_optional_syntax(false).enable_ident_escape_syntax(true);
    let parsed = parser.max_recursion_depth(32).parse(source).map_err(|errors| unreadable(&errors))?;
    let mut compiler = Compiler { place, has_elements, of_element: false, nodes: 0 };
    let (root, kind) = compiler.node(&parsed.expr, 0)?;
    match kind {
        Kind::Any | Kind::Bool => Ok(Condition { root, of_element: compiler.of_element }),
        other => Err(format!("its outcome is {}, and not true or false; compare it with something", other.words())),
    }
}

/// The first thing that the parser did not like, without its list of everything that it would have liked.
fn unreadable(errors: &cel::ParseErrors) -> String {
    let Some(first) = errors.errors.first() else {
        return "it is not readable as CEL".to_owned();
    };
    let problem = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
    let problem = problem.split(" expecting ").next().unwrap_or_default();
    if problem.contains("Recursion limit") {
        return "it is nested deeper than 32 brackets; say it flatter".to_owned();
    }
    let at = match first.pos {
        (1, column) => format!("character {column}"),
        (line, column) => format!("line {line}, character {column}"),
    };
    format!("it is not readable as CEL at its {at}: {problem}")
}

/// What is known of a value before there is a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    Null,
    Bool,
    Number,
    Text,
    Time,
}

impl Kind {
    fn of(value: &Value<'_>) -> Kind {
        match value {
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Int(_) | Value::UInt(_) | Value::Double(_) => Kind::Number,
            Value::Text(_) => Kind::Text,
            Value::Time(_) => Kind::Time,
            Value::Composite => Kind::Any,
        }
    }

    fn may_be(self, wanted: &[Kind]) -> bool {
        self == Kind::Any || wanted.contains(&self)
    }

    fn words(self) -> &'static str {
        match self {
            Kind::Any => "anything",
            Kind::Null => "null",
            Kind::Bool => "true or false",
            Kind::Number => "a number",
            Kind::Text => "text",
            Kind::Time => "a time",
        }
    }
}

struct Compiler<'a> {
    place: &'a mut dyn FnMut(&str) -> Result<Slot, String>,
    has_elements: bool,
    of_element: bool,
    nodes: usize,
}

type Compiled = Result<(Node, Kind), String>;

impl Compiler<'_> {
    fn node(&mut self, expression: &Expr, depth: usize) -> Compiled {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(format!("it has more than {NODES_MAX} parts; say it shorter"));
        }
        if depth > DEPTH_MAX {
            return Err(format!("it is deeper than {DEPTH_MAX} steps; say it flatter"));
        }
        match expression {
            Expr::Literal(literal) => {
                let value = constant(literal)?;
                let kind = Kind::of(&value);
                Ok((Node::Constant(value), kind))
            }
            Expr::Ident(_) | Expr::Select(_) => self.slot(expression),
            Expr::Call(call) if call.func_name == operators::INDEX => self.slot(expression),
            Expr::Call(call) => self.call(call, depth + 1),
            Expr::List(_) => Err("a list stands only after `in`, as in country in [\"NL\", \"BE\"]".to_owned()),
            Expr::Map(_) | Expr::Struct(_) => Err("it makes an object; a condition has single values only".to_owned()),
            Expr::Comprehension(_) | Expr::Unspecified => Err("it has a part that a condition cannot have".to_owned()),
        }
    }

    fn slot(&mut self, expression: &Expr) -> Compiled {
        let (path, kind) = self.path(expression)?;
        Ok((Node::Slot((self.place)(&path)?), kind))
    }

    fn call(&mut self, call: &CallExpr, depth: usize) -> Compiled {
        let name = call.func_name.as_str();
        let arguments: Vec<&Expr> = call
            .target
            .iter()
            .map(|target| &target.expr)
            .chain(call.args.iter().map(|argument| &argument.expr))
            .collect();
        let comparison = match name {
            operators::EQUALS => Some(Comparison::Equal),
            operators::NOT_EQUALS => Some(Comparison::NotEqual),
            operators::LESS => Some(Comparison::Less),
            operators::LESS_EQUALS => Some(Comparison::LessOrEqual),
            operators::GREATER => Some(Comparison::Greater),
            operators::GREATER_EQUALS => Some(Comparison::GreaterOrEqual),
            _ => None,
        };
        let calculation = match name {
            operators::ADD => Some(Calculation::Add),
            operators::SUBSTRACT => Some(Calculation::Subtract),
            operators::MULTIPLY => Some(Calculation::Multiply),
            operators::DIVIDE => Some(Calculation::Divide),
            operators::MODULO => Some(Calculation::Remainder),
            _ => None,
        };
        let search = match name {
            "contains" => Some(Search::Contains),
            "startsWith" => Some(Search::StartsWith),
            "endsWith" => Some(Search::EndsWith),
            _ => None,
        };
        let (number, text, time) = (Kind::Number, Kind::Text, Kind::Time);
        let conversion: Option<(Conversion, Kind, &[Kind])> = match name {
            "size" => Some((Conversion::Size, number, &[text])),
            "int" => Some((Conversion::Int, number, &[number, text])),
            "double" => Some((Conversion::Double, number, &[number, text])),
            "string" => Some((Conversion::Text, text, &[number, text, Kind::Bool])),
            "timestamp" => Some((Conversion::Timestamp, time, &[text, number, time])),
            "lowerAscii" => Some((Conversion::LowerAscii, text, &[text])),
            "upperAscii" => Some((Conversion::UpperAscii, text, &[text])),
            "trim" => Some((Conversion::Trim, text, &[text])),
            _ => None,
        };
        match (arguments.as_slice(), name) {
            ([place], "has") => {
                self.nodes += 1;
                let (path, _) = self.path(place)?;
                Ok((Node::Has((self.place)(&path)?), Kind::Bool))
            }
            ([operand], operators::LOGICAL_NOT) => {
                let node = self.wanted(operand, depth, "!", &[Kind::Bool])?;
                Ok((Node::Not(Box::new(node)), Kind::Bool))
            }
            ([operand], operators::NEGATE) => {
                let node = self.wanted(operand, depth, "-", &[Kind::Number])?;
                folded(Node::Negate(Box::new(node)), Kind::Number)
            }
            ([left, right], operators::LOGICAL_AND) => {
                let left = self.wanted(left, depth, "&&", &[Kind::Bool])?;
                let right = self.wanted(right, depth, "&&", &[Kind::Bool])?;
                Ok((Node::And(Box::new([left, right])), Kind::Bool))
            }
            ([left, right], operators::LOGICAL_OR) => {
                let left = self.wanted(left, depth, "||", &[Kind::Bool])?;
                let right = self.wanted(right, depth, "||", &[Kind::Bool])?;
                Ok((Node::Or(Box::new([left, right])), Kind::Bool))
            }
            ([condition, yes, no], operators::CONDITIONAL) => {
                let condition = self.wanted(condition, depth, "?", &[Kind::Bool])?;
                let (yes, if_yes) = self.node(yes, depth)?;
                let (no, if_no) = self.node(no, depth)?;
                let kind = if if_yes == if_no { if_yes } else { Kind::Any };
                Ok((Node::Choose(Box::new([condition, yes, no])), kind))
            }
            ([needle, Expr::List(list)], operators::IN) => {
                let (needle, kind) = self.node(needle, depth)?;
                let mut elements = Vec::new();
                for element in &list.elements {
                    let (element, of_element) = self.node(&element.expr, depth)?;
                    comparable(kind, of_element, "in")?;
                    elements.push(element);
                }
                Ok((Node::In(Box::new(needle), elements.into()), Kind::Bool))
            }
            ([_, _], operators::IN) => {
                Err("after `in` stands a list that is written down, as in country in [\"NL\", \"BE\"]".to_owned())
            }
            ([text, Expr::Literal(LiteralValue::String(pattern))], "matches") => {
                let text = self.wanted(text, depth, "matches", &[Kind::Text])?;
                let mut builder = RegexBuilder::new(pattern.inner());
                builder.size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
                let pattern = builder.build().map_err(|error| match error {
                    regex::Error::CompiledTooBig(_) => "its pattern is too large; say it shorter".to_owned(),
                    _ => "its pattern is no regular expression (RE2, without look-around)".to_owned(),
                })?;
                Ok((Node::Matches(Box::new(text), pattern), Kind::Bool))
            }
            ([_, _], "matches") => Err("matches() takes a pattern in quotes, as in sku.matches(\"^P-\")".to_owned()),
            (&[left, right], _) => {
                if let Some(comparison) = comparison {
                    let (left, of_left) = self.node(left, depth)?;
                    let (right, of_right) = self.node(right, depth)?;
                    let sign = name.trim_matches('_');
                    comparable(of_left, of_right, sign)?;
                    if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
                        for kind in [of_left, of_right] {
                            if !kind.may_be(&[Kind::Number, Kind::Text, Kind::Time]) {
                                return Err(format!(
                                    "`{sign}` compares numbers, texts and times, not {}",
                                    kind.words()
                                ));
                            }
                        }
                    }
                    return Ok((Node::Compare(comparison, Box::new([left, right])), Kind::Bool));
                }
                if let Some(calculation) = calculation {
                    let kinds: &[Kind] = match calculation {
                        Calculation::Add => &[Kind::Number, Kind::Text],
                        _ => &[Kind::Number],
                    };
                    let sign = name.trim_matches('_');
                    let (left, of_left) = self.of_kinds(left, depth, sign, kinds)?;
                    let (right, of_right) = self.of_kinds(right, depth, sign, kinds)?;
                    comparable(of_left, of_right, sign)?;
                    let kind = if of_left == Kind::Any { of_right } else { of_left };
                    let kind = if calculation == Calculation::Add { kind } else { Kind::Number };
                    return Ok((Node::Calculate(calculation, Box::new([left, right])), kind));
                }
                if let Some(search) = search {
                    let left = self.wanted(left, depth, name, &[Kind::Text])?;
                    let right = self.wanted(right, depth, name, &[Kind::Text])?;
                    return Ok((Node::Search(search, Box::new([left, right])), Kind::Bool));
                }
                Err(self.unknown(name, arguments.len()))
            }
            (&[operand], _) => match conversion {
                Some((conversion, becomes, kinds)) => {
                    let node = self.wanted(operand, depth, name, kinds)?;
                    folded(Node::Convert(conversion, Box::new(node)), becomes)
                }
                None => Err(self.unknown(name, 1)),
            },
            _ => Err(self.unknown(name, arguments.len())),
        }
    }

    /// A part that must be of one of some kinds, as far as that is known.
    fn of_kinds(&mut self, expression: &Expr, depth: usize, taker: &str, kinds: &[Kind]) -> Compiled {
        let (node, kind) = self.node(expression, depth)?;
        if kind.may_be(kinds) {
            return Ok((node, kind));
        }
        let wanted: Vec<&str> = kinds.iter().map(|kind| kind.words()).collect();
        Err(format!("`{taker}` takes {}, not {}", wanted.join(" or "), kind.words()))
    }

    fn wanted(&mut self, expression: &Expr, depth: usize, taker: &str, kinds: &[Kind]) -> Result<Node, String> {
        self.of_kinds(expression, depth, taker, kinds).map(|(node, _)| node)
    }

    fn unknown(&self, name: &str, arguments: usize) -> String {
        if LOOPS.contains(&name) {
            return format!("{name}() goes through a list; a condition sees single values, such as items[0].sku");
        }
        if FUNCTIONS.contains(&name) {
            return format!("{name}() does not take {arguments} values");
        }
        let known = FUNCTIONS.join(", ");
        format!("there is no function {name:?}{}; there are {known}", suggestion(name, &FUNCTIONS))
    }

    /// Members of members down to a name → the path of the place, as a mapping would write it, and what is known of it.
    fn path(&mut self, expression: &Expr) -> Result<(String, Kind), String> {
        let mut steps = Vec::new();
        let mut rest = expression;
        let root = loop {
            match rest {
                Expr::Ident(name) => break name.as_str(),
                Expr::Select(select) => {
                    steps.push(Step::Key(&select.field));
                    rest = &select.operand.expr;
                }
                Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::INDEX => {
                    let [operand, index] = args.as_slice() else {
                        return Err("an index stands after a place, as in items[0]".to_owned());
                    };
                    steps.push(match &index.expr {
                        Expr::Literal(LiteralValue::String(key)) => Step::Key(key.inner()),
                        Expr::Literal(LiteralValue::Int(index)) => Step::Index(*index.inner()),
                        _ => {
                            let problem = "an index is a number or a key in quotes, as in items[0] or data[\"a b\"]";
                            return Err(problem.to_owned());
                        }
                    });
                    rest = &operand.expr;
                }
                _ => return Err("only a place of the record has fields, and has() takes only a place".to_owned()),
            }
        };
        steps.reverse();
        match (root, steps.as_slice()) {
            ("key", []) => Ok(("@key".to_owned(), Kind::Text)),
            ("key", _) => Err(
                "the record's key is text and has no fields; a field of the payload that is called so is payload.key"
                    .to_owned(),
            ),
            ("headers", [Step::Key(name)]) if !name.is_empty() => Ok((format!("@header:{name}"), Kind::Text)),
            ("headers", _) => {
                Err("a header is headers[\"NAME\"]; a field of the payload that is called so is payload.headers"
                    .to_owned())
            }
            ("element", steps) if self.has_elements => {
                self.of_element = true;
                Ok((format!(".{}", written(steps)?), Kind::Any))
            }
            ("element", _) => Err(
                "there is no element without each = \"…\"; a field of the payload that is called so is payload.element"
                    .to_owned(),
            ),
            ("payload", []) => Err("name a field of the payload, as in payload.type".to_owned()),
            ("payload", steps) => Ok((format!("$.{}", written(steps)?), Kind::Any)),
            (name, _) if name.starts_with('.') => Err(format!("write {:?} without the dot in front", &name[1..])),
            (name, steps) => {
                let steps: Vec<Step<'_>> = std::iter::once(Step::Key(name)).chain(steps.iter().copied()).collect();
                Ok((format!("$.{}", written(&steps)?), Kind::Any))
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(i64),
}

/// Steps as a path of a mapping.
fn written(steps: &[Step<'_>]) -> Result<String, String> {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key("") => return Err("a key is empty, and no path leads there".to_owned()),
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&key.replace('\\', "\\\\").replace('.', "\\.").replace('[', "\\["));
            }
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    Ok(path)
}

fn constant(literal: &LiteralValue) -> Result<Value<'static>, String> {
    Ok(match literal {
        LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
        LiteralValue::Int(value) => Value::Int(*value.inner()),
        LiteralValue::UInt(value) => Value::UInt(*value.inner()),
        LiteralValue::Double(value) => Value::Double(*value.inner()),
        LiteralValue::String(value) => Value::Text(value.inner().to_owned().into()),
        LiteralValue::Null => Value::Null,
        LiteralValue::Bytes(_) => return Err("it has bytes; a condition sees text, numbers, true and false".to_owned()),
    })
}

/// What is not of one kind is never equal: that is a mistake, and no condition.
fn comparable(left: Kind, right: Kind, sign: &str) -> Result<(), String> {
    match left == right || [left, right].iter().any(|kind| matches!(kind, Kind::Any | Kind::Null)) {
        true => Ok(()),
        false => Err(format!("`{sign}` has {} on one side and {} on the other", left.words(), right.words())),
    }
}

/// What needs no record is done now, and is wrong now.
fn folded(node: Node, kind: Kind) -> Compiled {
    let needs_no_record = match &node {
        Node::Negate(operand) | Node::Convert(_, operand) => matches!(**operand, Node::Constant(_)),
        _ => false,
    };
    if !needs_no_record {
        return Ok((node, kind));
    }
    match evaluate::evaluate(&node, &Capture::default()) {
        Ok(outcome) => Ok((Node::Constant(outcome.value.into_owned()), kind)),
        Err(undecided) => Err(undecided.problem.to_owned()),
    }
}
