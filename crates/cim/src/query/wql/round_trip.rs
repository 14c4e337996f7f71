//! Whatever tree can be printed is read as the same tree.

use proptest::prelude::*;

use super::{fuzz_one, parse, print};
use crate::Name;
use crate::query::{
    ClassReference, Column, Comparison, Condition, DateUnit, From, Join, JoinKind, Literal, Operand, Order,
    Pattern, PatternPart, Query, Select, Selected,
};

fn name() -> impl Strategy<Value = Name> {
    // Words that mean something elsewhere are names where a name stands.
    prop_oneof!["[A-Z][A-Za-z0-9_]{0,5}x", Just("Count".to_owned()), Just("Upper".to_owned())]
        .prop_map(Name::from)
}

fn column() -> impl Strategy<Value = Column> {
    let property = prop_oneof![4 => name(), 1 => Just(Name::from("__CLASS"))];
    (prop::option::of(name()), property).prop_map(|(alias, property)| Column { alias, property })
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        any::<bool>().prop_map(Literal::Boolean),
        any::<i128>().prop_map(Literal::Integer),
        any::<f64>().prop_filter("a finite number", |number| number.is_finite()).prop_map(Literal::Real),
        any::<String>().prop_map(Literal::String),
    ]
}

fn unit() -> impl Strategy<Value = DateUnit> {
    prop::sample::select(&DateUnit::ALL[..])
}

fn operand() -> impl Strategy<Value = Operand> {
    let simple = prop_oneof![
        column().prop_map(Operand::Column),
        literal().prop_map(Operand::Literal),
        Just(Operand::Literal(Literal::Null)),
        Just(Operand::GetDate),
    ];
    simple.prop_recursive(3, 12, 3, |inner| {
        let boxed = inner.prop_map(Box::new).boxed();
        prop_oneof![
            boxed.clone().prop_map(Operand::Upper),
            boxed.clone().prop_map(Operand::Lower),
            (boxed.clone(), boxed.clone(), boxed.clone()).prop_map(|(a, b, c)| Operand::Substring(a, b, c)),
            (unit(), boxed.clone()).prop_map(|(unit, a)| Operand::DatePart(unit, a)),
            (unit(), boxed.clone(), boxed.clone()).prop_map(|(unit, a, b)| Operand::DateDiff(unit, a, b)),
            (unit(), boxed.clone(), boxed).prop_map(|(unit, a, b)| Operand::DateAdd(unit, a, b)),
        ]
    })
}

fn pattern() -> impl Strategy<Value = Pattern> {
    // Texts whose sets can hold every character that means something in them.
    let set = (any::<bool>(), prop::collection::vec(("[ -~]", "[ -~]"), 1..4)).prop_filter_map(
        "a set that can be written",
        |(is_negated, ends)| {
            let ranges = ends.iter().map(|(a, b)| {
                let (a, b) = (a.chars().next()?, b.chars().next()?);
                Some((a.min(b), a.max(b)))
            });
            let ranges = ranges.collect::<Option<Vec<_>>>()?;
            // ] and ^ mean themselves only at places that other entries of a set may take.
            let is_plain = |c: &char| !matches!(c, ']' | '^' | '-');
            let all_plain = ranges.iter().all(|(a, b)| is_plain(a) && is_plain(b));
            all_plain.then_some(PatternPart::Set { is_negated, ranges })
        },
    );
    let part = prop_oneof![
        any::<String>().prop_map(PatternPart::Text),
        r"[\]\[%_^\-]{1,3}".prop_map(PatternPart::Text),
        Just(PatternPart::Any),
        Just(PatternPart::One),
        set,
    ];
    prop::collection::vec(part, 0..5).prop_map(Pattern::new)
}

fn comparison() -> impl Strategy<Value = Comparison> {
    prop::sample::select(vec![
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ])
}

fn condition() -> impl Strategy<Value = Condition> {
    let list = prop::collection::vec(literal(), 1..4);
    let inner = (column(), name()).prop_map(|(column, class)| Query {
        select: Select::Columns(vec![Selected::Column(column)]),
        ..Query::all_of(class)
    });
    let test = prop_oneof![
        (operand(), comparison(), operand()).prop_map(|(a, sign, b)| Condition::compare(a, sign, b)),
        (operand(), pattern()).prop_map(|(operand, pattern)| Condition::Like(operand, pattern)),
        (operand(), list).prop_map(|(operand, list)| Condition::In(operand, list)),
        (operand(), inner).prop_map(|(operand, query)| Condition::InQuery(operand, Box::new(query))),
        operand().prop_map(Condition::IsNull),
        (name(), name()).prop_map(|(what, class)| Condition::IsA(what, class)),
    ];
    test.prop_recursive(4, 16, 3, |part| {
        let parts = prop::collection::vec(part.clone(), 1..4).boxed();
        prop_oneof![
            parts.clone().prop_map(Condition::and),
            parts.prop_map(Condition::or),
            part.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}

fn class() -> impl Strategy<Value = ClassReference> {
    (name(), prop::option::of(name()))
        .prop_map(|(class, alias)| ClassReference { alias: alias.unwrap_or_else(|| class.clone()), class })
}

fn join() -> impl Strategy<Value = Join> {
    let kind = prop::sample::select(vec![JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full]);
    prop_oneof![
        class().prop_map(|right| Join { kind: JoinKind::Inner, right, on: None }),
        (kind, class(), condition()).prop_map(|(kind, right, on)| Join { kind, right, on: Some(on) }),
    ]
}

fn select() -> impl Strategy<Value = (bool, Select)> {
    let selected = prop_oneof![name().prop_map(Selected::AllOf), column().prop_map(Selected::Column)];
    prop_oneof![
        any::<bool>().prop_map(|is_distinct| (is_distinct, Select::All)),
        prop::option::of(column()).prop_map(|column| (false, Select::Count(column))),
        (any::<bool>(), prop::collection::vec(selected, 1..4))
            .prop_map(|(is_distinct, columns)| (is_distinct, Select::Columns(columns))),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    let is_value = |operand: &Operand| matches!(operand, Operand::Literal(_));
    let by = operand().prop_filter("nothing is ordered by a value", move |operand| !is_value(operand));
    let order = (by, any::<bool>()).prop_map(|(by, is_descending)| Order { by, is_descending });
    (
        select(),
        class(),
        prop::collection::vec(join(), 0..3),
        prop::option::of(condition()),
        prop::collection::vec(order, 0..3),
    )
        .prop_map(|((is_distinct, select), first, joins, filter, order)| Query {
            is_distinct,
            select,
            from: From { first, joins },
            filter,
            order,
            limit: None,
            offset: 0,
        })
}

proptest! {
    #[test]
    fn a_printed_query_is_read_as_the_same_query(query in query()) {
        let text = print(&query).expect("WQL has words for all of it");
        let read = parse(&text);
        prop_assert_eq!(read.as_ref(), Ok(&query), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(
        words in prop::collection::vec(prop::sample::select(vec![
            "SELECT", "*", "FROM", "A", "AS", "b", ".", ",", "WHERE", "(", ")", "=", "<>", "'x'", "\"", "LIKE", "'[a-'",
            "'[^a-c]%'", "IN", "NOT", "NULL", "IS", "ISA", "ORDER", "BY", "JOIN", "ON", "1", "-2.5", "COUNT(*)",
            "GetDate()", "DateDiff(", "dd", "ASSOCIATORS OF {A=1}", "é", "\\",
        ]), 0..16),
    ) {
        fuzz_one(words.join(" ").as_bytes());
    }

    #[test]
    fn any_noise_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        fuzz_one(&bytes);
    }
}
