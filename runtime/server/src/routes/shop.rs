//! The demo shop in the OpenAPI document, and the redirections to it. Its files are served by `pages`.

use axum::response::Redirect;
use utoipa::{
    PartialSchema,
    openapi::{
        Content, HttpMethod, ObjectBuilder, OpenApi as Document, Ref, Required, Response, Type,
        path::{OperationBuilder, ParameterBuilder, ParameterIn, PathItem},
    },
};

use super::{document::Bytes, problems::problem};

/// To the shop.
#[utoipa::path(
    get, path = "/", operation_id = "read_root", tag = "system",
    responses((status = 307, description = "To `/shop/`", headers(("location" = String)))),
)]
pub async fn root() -> Redirect {
    Redirect::temporary("/shop/")
}

/// To the shop's first page.
#[utoipa::path(
    get, path = "/shop", operation_id = "read_shop", tag = "system",
    responses((status = 308, description = "To `/shop/`", headers(("location" = String)))),
)]
pub async fn folder() -> Redirect {
    Redirect::permanent("/shop/")
}

/// Describes the shop's files, which are no function.
pub fn describe_files(document: &mut Document) {
    let name = ParameterBuilder::new()
        .name("file")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1))));
    let page = files("read_shop_page", "The shop's first page.");
    let file =
        files("read_shop_file", "A file of the demo shop. Any parameters are left to its pages.").parameter(name);
    for (path, operation) in [("/shop/", page), ("/shop/{file}", file)] {
        document.paths.paths.insert(path.to_owned(), PathItem::new(HttpMethod::Get, operation.build()));
    }
}

fn files(id: &str, summary: &str) -> OperationBuilder {
    let content = || Content::new(Some(Bytes::schema()));
    let with = |description: &str| Response::builder().description(description).content("*/*", content()).build();
    let missing = Response::builder()
        .description("No such file: the shop's page says so; for an asset a problem")
        .content("text/html", content())
        .content("application/problem+json", Content::new(Some(Ref::from_schema_name("Problem"))));
    OperationBuilder::new()
        .operation_id(Some(id))
        .tag("system")
        .summary(Some(summary))
        .response("200", with("The file"))
        .response("206", with("The range of it that was asked for"))
        .response("304", Response::new("Not modified"))
        .response("404", missing.build())
        .response("416", problem("The file does not have this range; see Content-Range"))
}
