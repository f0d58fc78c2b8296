// POST /v1/tokenize and /v1/detokenize, also without /v1: a text or a conversation as the model's
// tokens, and back, in vLLM's form.
#include <fmt/format.h>

#include <utility>

#include "api/openai/call.h"
#include "api/openai/errors.h"
#include "api/openai/openai.h"
#include "api/openai/read_chat.h"
#include "service/prompt.h"

namespace pippin::api::openai {
namespace {

using service::Token;

Result<std::vector<Token>> chat_tokens(FieldReader& reader, const service::Model& model) {
  const ChatCall chat = read_chat(reader, model);
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

}  // namespace

Handler tokenize(const Context& context) {
  const auto then = [](const std::shared_ptr<Exchange>& exchange, const Call& call) {
    FieldReader reader(call.body);
    const bool with_strings = reader.boolean("return_token_strs").value_or(false);
    const bool chat = reader.any("messages") != nullptr;
    const Result<std::vector<Token>> tokens =
        chat ? chat_tokens(reader, *call.model) : text_tokens(reader, *call.model);
    if (!reader.ok()) return exchange->respond(error_response(wire_error(*reader.error())));
    if (!tokens.ok()) return exchange->respond(error_response(tokens.error()));
    Response response;
    service::JsonWriter json(response.body);
    write_tokens(json, *call.model, *tokens, with_strings);
    exchange->respond(std::move(response));
  };
  return with_call(context, then, ModelField::kOptional);
}

Handler detokenize(const Context& context) {
  const auto then = [](const std::shared_ptr<Exchange>& exchange, const Call& call) {
    FieldReader reader(call.body);
    const boost::json::array* array = reader.required_array("tokens");
    std::vector<Token> tokens;
    if (array != nullptr) read_tokens(reader, "tokens", *array, *call.model, tokens);
    if (!reader.ok()) return exchange->respond(error_response(wire_error(*reader.error())));
    text::StreamDecoder decoder(call.model->tokenizer, true);
    std::string text;
    for (const Token token : tokens) text += decoder.push(token);
    text += decoder.flush();
    Response response;
    service::JsonWriter json(response.body);
    // "content" is llama-server's word for it.
    json.begin_object().field("prompt", text).field("content", text).end_object();
    exchange->respond(std::move(response));
  };
  return with_call(context, then, ModelField::kOptional);
}

}  // namespace pippin::api::openai
