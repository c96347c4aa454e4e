//! The document as a page that needs no script: what Redoc shows in its place is nicer, but this is always there.
//! Knows nothing of which operations there are.

use serde_json::{Map, Value};

/// Methods in the order in which they are read.
const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

/// Writes every operation and every schema of an OpenAPI document as HTML, without a frame around it.
pub(super) fn render(document: &[u8]) -> String {
    let document: Value = serde_json::from_slice(document).unwrap_or_default();
    let mut page = String::new();
    line(&mut page, "h1", &words(&document["info"]["title"]));
    line(&mut page, "p", &words(&document["info"]["description"]));
    for (path, operations) in entries(&document["paths"]) {
        for method in METHODS.into_iter().filter(|method| operations[*method].is_object()) {
            operation(&mut page, method, path, &operations[method]);
        }
    }
    for (name, schema) in entries(&document["components"]["schemas"]) {
        let text = serde_json::to_string_pretty(schema).unwrap_or_default();
        let (name, text) = (escaped(name), escaped(&text));
        page.push_str(&format!("<details id=\"{name}\"><summary>{name}</summary><pre>{text}</pre></details>\n"));
    }
    page
}

fn operation(page: &mut String, method: &str, path: &str, operation: &Value) {
    page.push_str(&format!("<h2><code>{} {}</code></h2>\n", method.to_uppercase(), escaped(path)));
    line(page, "p", &words(&operation["summary"]));
    line(page, "p", &words(&operation["description"]));
    let mut list = String::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let told = format!(
            "{} in {}: {}",
            words(&parameter["name"]),
            words(&parameter["in"]),
            words(&parameter["description"])
        );
        line(&mut list, "li", &told);
    }
    for (kind, content) in entries(&operation["requestBody"]["content"]) {
        list.push_str(&format!("<li>body, {}{}</li>\n", escaped(kind), schema_link(&content["schema"])));
    }
    for (status, response) in entries(&operation["responses"]) {
        let schema = entries(&response["content"]).next().map(|(_, content)| schema_link(&content["schema"]));
        let told = escaped(&words(&response["description"]));
        list.push_str(&format!("<li><code>{}</code> {told}{}</li>\n", escaped(status), schema.unwrap_or_default()));
    }
    if !list.is_empty() {
        page.push_str(&format!("<ul>\n{list}</ul>\n"));
    }
}

/// A link to the schema, where it has a name.
fn schema_link(schema: &Value) -> String {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()).map(escaped);
    name.map_or_else(String::new, |name| format!(": <a href=\"#{name}\">{name}</a>"))
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn line(page: &mut String, element: &str, text: &str) {
    if !text.is_empty() {
        page.push_str(&format!("<{element}>{}</{element}>\n", escaped(text)));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_schema_is_there_and_no_markup_of_the_document_is() {
        let document = serde_json::json!({
            "info": {"title": "An <i>API</i>"},
            "paths": {"/a/{id}": {
                "get": {"summary": "Reads & answers", "parameters": [{"name": "id", "in": "path", "description": "which"}],
                    "responses": {"200": {"description": "it", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}}},
                "post": {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}},
            }},
            "components": {"schemas": {"Thing": {"type": "string"}}},
        });

        let page = render(document.to_string().as_bytes());

        for part in [
            "An &lt;i&gt;API&lt;/i&gt;",
            "<code>GET /a/{id}</code>",
            "Reads &amp; answers",
            "id in path: which",
            r##"<code>200</code> it: <a href="#Thing">Thing</a>"##,
            "<code>POST /a/{id}</code>",
            "body, application/json",
            r#"<details id="Thing">"#,
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<i>"));
    }
}
