//! JSON objects whose fields keep the order in which they were written: people know where to look in Docker's.

use std::collections::BTreeMap;

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::Value;

/// A document.
#[derive(Clone, Debug, PartialEq)]
pub enum Ordered {
    Leaf(Value),
    Object(Vec<(String, Ordered)>),
    List(Vec<Ordered>),
}

impl Serialize for Ordered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Ordered::Leaf(value) => value.serialize(serializer),
            Ordered::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
            Ordered::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
        }
    }
}

impl Ordered {
    /// Indented by four, as Docker prints.
    pub fn pretty(&self) -> String {
        let mut out = Vec::new();
        let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, indent);
        // Text in memory cannot fail to be written.
        let _ = self.serialize(&mut serializer);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// For templates, which look fields up by name.
    pub fn value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

macro_rules! leaves {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Ordered {
            fn from(value: $kind) -> Ordered {
                Ordered::Leaf(Value::from(value))
            }
        }
    )*};
}

leaves!(
    &str, String, bool, i32, i64, u16, u32, u64, usize, f64, Value
);

impl<T: Into<Ordered>> From<Vec<T>> for Ordered {
    fn from(items: Vec<T>) -> Ordered {
        Ordered::List(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Ordered> + Clone> From<&[T]> for Ordered {
    fn from(items: &[T]) -> Ordered {
        items.to_vec().into()
    }
}

impl<T: Into<Ordered>> From<Option<T>> for Ordered {
    fn from(item: Option<T>) -> Ordered {
        item.map_or(Ordered::Leaf(Value::Null), Into::into)
    }
}

impl From<&BTreeMap<String, String>> for Ordered {
    fn from(fields: &BTreeMap<String, String>) -> Ordered {
        let fields = fields.iter().map(|(k, v)| (k.clone(), v.as_str().into()));
        Ordered::Object(fields.collect())
    }
}

/// `object! { "Id" => id, "State" => object! { … } }`
macro_rules! object {
    ($($name:expr => $value:expr),* $(,)?) => {
        $crate::documents::Ordered::Object(vec![$(($name.to_owned(), $crate::documents::Ordered::from($value))),*])
    };
}

pub(crate) use object;

#[cfg(test)]
mod tests {
    #[test]
    fn order_and_indentation() {
        let document = object! {
            "Zeta" => 1u64,
            "Alpha" => object! { "List" => vec!["a", "b"], "None" => None::<bool> },
        };
        assert_eq!(
            document.pretty(),
            "{\n    \"Zeta\": 1,\n    \"Alpha\": {\n        \"List\": [\n            \"a\",\n            \"b\"\n        ],\n        \"None\": null\n    }\n}"
        );
        assert_eq!(document.value()["Alpha"]["List"][1], "b");
    }
}
