// POST /v1/tokenize and /v1/detokenize, also without /v1: a text or a conversation as the model's
// tokens, and back, in vLLM's form.
#include <fmt/format.h>

#include <utility>

#include "api/openai/model_route.h"
#include "api/openai/openai.h"
#include "api/openai/read_chat.h"
#include "service/chat/prompt.h"

namespace pippin::api::openai {
namespace {

using service::Token;

Result<std::vector<Token>> chat_tokens(FieldReader& reader, const service::Model& model) {
  const ChatRequest chat = read_chat(reader, model);
  if (!reader.ok()) return std::vector<Token>{};
  return service::prompt_tokens(model, chat.request.prompts.front());
}

Result<std::vector<Token>> text_tokens(FieldReader& reader, const service::Model& model) {
  const std::optional<std::string_view> text = reader.required_string("prompt");
  const bool add_special = reader.boolean("add_special_tokens").value_or(true);
  if (!text) return std::vector<Token>{};
  return service::text_tokens(model, {{std::string(*text), text::Specials::kParse}}, add_special,
                              "prompt");
}

void write_tokens(service::JsonWriter& json, const service::Model& model,
                  const std::vector<Token>& tokens, bool with_strings) {
  json.begin_object().field("count", static_cast<int64_t>(tokens.size()));
  json.field("max_model_len", model.context_tokens_max).key("tokens").begin_array();
  for (const Token token : tokens) json.integer(int64_t{token});
  json.end_array().key("token_strs");
  if (!with_strings) {
    json.null();
  } else {
    json.begin_array();
    for (const Token token : tokens) json.string(model.tokenizer->token_bytes(token, true));
    json.end_array();
  }
  json.end_object();
}

void serve_tokenize(const ApiRequest& request) {
  FieldReader reader(request.body);
  const bool with_strings = reader.boolean("return_token_strs").value_or(false);
  const bool chat = reader.any("messages") != nullptr;
  const Result<std::vector<Token>> tokens =
      chat ? chat_tokens(reader, *request.model) : text_tokens(reader, *request.model);
  if (!reader.ok()) return request.respond(*reader.error());
  if (!tokens.ok()) return request.respond(tokens.error());
  Response response;
  service::JsonWriter json(response.body);
  write_tokens(json, *request.model, *tokens, with_strings);
  request.respond(std::move(response));
}

void serve_detokenize(const ApiRequest& request) {
  FieldReader reader(request.body);
  const boost::json::array* array = reader.required_array("tokens");
  std::vector<Token> tokens;
  if (array != nullptr) read_tokens(reader, "tokens", *array, *request.model, tokens);
  if (!reader.ok()) return request.respond(*reader.error());
  text::StreamDecoder decoder(request.model->tokenizer, true);
  std::string text;
  for (const Token token : tokens) text += decoder.push(token);
  text += decoder.flush();
  Response response;
  service::JsonWriter json(response.body);
  // "content" is llama-server's word for it.
  json.begin_object().field("prompt", text).field("content", text).end_object();
  request.respond(std::move(response));
}

}  // namespace

Handler tokenize(const Context& context) {
  return model_route(context, serve_tokenize, ModelField::kOptional);
}
Handler detokenize(const Context& context) {
  return model_route(context, serve_detokenize, ModelField::kOptional);
}

}  // namespace pippin::api::openai
