#include "api/openai/read_completion.h"

#include <fmt/format.h>

#include <utility>

namespace pippin::api::openai {
namespace {

constexpr size_t kPromptsMax = 64;
constexpr size_t kChoicesMax = 128;
constexpr int kMaxTokensDefault = 16;  // OpenAI's
constexpr int kLogprobsMax = 20;

constexpr RefusedField kRefused[] = {
    {"suffix", "filling in the middle is not supported yet"},
};

void read_prompts(FieldReader& reader, const service::Model& model,
                  std::vector<service::Prompt>& prompts) {
  const boost::json::value* prompt = reader.any("prompt");
  if (prompt == nullptr) return reader.missing("prompt");
  const auto add_text = [&](const boost::json::string& text) {
    prompts.emplace_back(service::TextPrompt{std::string(text.data(), text.size())});
  };
  const auto add_tokens = [&](const std::string& name, const boost::json::array& array) {
    service::TokenPrompt tokens;
    read_tokens(reader, name, array, model, tokens.tokens);
    prompts.emplace_back(std::move(tokens));
  };
  if (const auto* text = prompt->if_string()) return add_text(*text);
  const boost::json::array* list = prompt->if_array();
  if (list == nullptr) return reader.wrong_type("prompt", "a string or an array", *prompt);
  if (list->empty()) {
    return reader.wrong(
        "prompt",
        "Invalid 'prompt': empty array. Expected an array with minimum length 1, but got an "
        "empty array instead.",
        "empty_array");
  }
  if (list->front().is_number()) return add_tokens("prompt", *list);
  if (list->size() > kPromptsMax) {
    return reader.wrong(
        "prompt",
        fmt::format("Invalid 'prompt': array too long. Expected at most {} prompts, but got {}.",
                    kPromptsMax, list->size()),
        "array_above_max_length");
  }
  for (size_t i = 0; i < list->size() && reader.ok(); ++i) {
    const std::string name = fmt::format("prompt[{}]", i);
    const boost::json::value& item = (*list)[i];
    if (const auto* text = item.if_string()) {
      add_text(*text);
    } else if (const auto* tokens = item.if_array()) {
      add_tokens(name, *tokens);
    } else {
      reader.wrong_type(name, "a string or an array of token ids", item);
    }
  }
}

// best_of chooses on the server among more answers than it returns; more than n is not done here.
void read_best_of(FieldReader& reader, int n) {
  const std::optional<int64_t> best_of = reader.integer("best_of", 1, 128);
  if (best_of && *best_of != n) {
    reader.wrong("best_of", "Unsupported value: 'best_of' must equal 'n'.", "unsupported_value");
  }
}

}  // namespace

CompletionCall read_completion(FieldReader& reader, const service::Model& model) {
  CompletionCall call;
  service::Request& request = call.request;
  read_prompts(reader, model, request.prompts);
  read_sampling(reader, model, request);
  call.echo = reader.boolean("echo").value_or(false);
  // With echo, 0 tokens may be asked for: the prompt is scored and nothing is added.
  read_limits(reader, model, call.echo ? 0 : 1, request);
  if (!request.max_tokens) request.max_tokens = kMaxTokensDefault;
  read_best_of(reader, request.n);
  if (const std::optional<int64_t> logprobs = reader.integer("logprobs", 0, kLogprobsMax)) {
    request.sampling.logprobs = static_cast<int>(*logprobs);
    if (call.echo) request.sampling.prompt_logprobs = static_cast<int>(*logprobs);
  }
  if (request.prompts.size() * static_cast<size_t>(request.n) > kChoicesMax) {
    reader.wrong(
        "n", fmt::format("Invalid 'n': {} prompts with {} choices each are more than {} answers.",
                         request.prompts.size(), request.n, kChoicesMax));
  }
  refuse(reader, kRefused);
  refuse(reader, common_refused_fields());
  call.stream = read_stream(reader);
  return call;
}

}  // namespace pippin::api::openai
