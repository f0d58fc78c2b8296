// POST /tokenize in llama-server's form, and POST /apply-template.
#include <utility>

#include "api/llama/llama.h"
#include "api/openai/model_route.h"
#include "api/openai/read_chat.h"
#include "service/chat/prompt.h"

namespace pippin::api::llama {
namespace {

using service::Token;

// Whether bytes are whole characters, by what the JSON writer would mend.
bool is_text(std::string_view bytes) {
  std::string quoted;
  service::append_json_string(quoted, bytes);
  const Result<boost::json::value> back = service::parse_json(quoted);
  return back.ok() && std::string_view(back->get_string()) == bytes;
}

void write_piece(service::JsonWriter& json, const std::string& bytes) {
  json.key("piece");
  if (is_text(bytes)) {
    json.string(bytes);
    return;
  }
  json.begin_array();
  for (const char byte : bytes) json.integer(int64_t{static_cast<unsigned char>(byte)});
  json.end_array();
}

void write_tokens(service::JsonWriter& json, const service::Model& model,
                  const std::vector<Token>& tokens, bool with_pieces) {
  json.begin_object().key("tokens").begin_array();
  for (const Token token : tokens) {
    if (!with_pieces) {
      json.integer(int64_t{token});
      continue;
    }
    json.begin_object().field("id", token);
    write_piece(json, model.tokenizer->token_bytes(token, true));
    json.end_object();
  }
  json.end_array().end_object();
}

bool has_content(const Context& context, const Request& request) {
  const Result<boost::json::value> body = service::parse_json(request.body, context.json);
  return body.ok() && body->is_object() && body->get_object().contains("content");
}

void serve_tokenize(const ApiRequest& request) {
  FieldReader reader(request.body);
  const std::string_view content = reader.required_string("content").value_or("");
  const bool add_special = reader.boolean("add_special").value_or(false);
  const bool parse_special = reader.boolean("parse_special").value_or(true);
  const bool with_pieces = reader.boolean("with_pieces").value_or(false);
  if (!reader.ok()) return request.respond(*reader.error());
  const text::Specials specials = parse_special ? text::Specials::kParse : text::Specials::kText;
  const Result<std::vector<Token>> tokens = service::text_tokens(
      *request.model, {{std::string(content), specials}}, add_special, "content");
  if (!tokens.ok()) return request.respond(tokens.error());
  Response response;
  service::JsonWriter json(response.body);
  write_tokens(json, *request.model, *tokens, with_pieces);
  request.respond(std::move(response));
}

void serve_template(const ApiRequest& request) {
  FieldReader reader(request.body);
  const openai::ChatRequest chat = openai::read_chat(reader, *request.model);
  if (!reader.ok()) return request.respond(*reader.error());
  const Result<service::RenderedPrompt> prompt =
      service::render_prompt(*request.model, chat.request.prompts.front());
  if (!prompt.ok()) return request.respond(prompt.error());
  Response response;
  service::JsonWriter(response.body).begin_object().field("prompt", prompt->text).end_object();
  request.respond(std::move(response));
}

}  // namespace

Handler tokenize(const Context& context, Handler other) {
  return [&context, other = std::move(other),
          own = openai::model_route(context, serve_tokenize, openai::ModelField::kOptional)](
             std::shared_ptr<Exchange> exchange) {
    const Handler& handler = has_content(context, exchange->request()) ? own : other;
    handler(std::move(exchange));
  };
}

Handler apply_template(const Context& context) {
  return openai::model_route(context, serve_template, openai::ModelField::kOptional);
}

}  // namespace pippin::api::llama
