#include "api/openai/read_completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "service/chat/fim.h"

namespace pippin::api::openai {
namespace {

constexpr size_t kPromptsMax = 64;
constexpr size_t kChoicesMax = 128;
constexpr int kMaxTokensDefault = 16;  // OpenAI's
constexpr int kLogprobsMax = 20;

constexpr int kBestOfMax = 20;

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

// Of `best_of` answers the `n` most probable ones are returned, so every token needs its score.
void read_best_of(FieldReader& reader, CompletionRequest& completion) {
  completion.options.n = completion.request.n;
  const std::optional<int64_t> best_of = reader.integer("best_of", 1, kBestOfMax);
  if (!best_of || *best_of == completion.request.n) return;
  if (*best_of < completion.request.n) {
    return reader.wrong("best_of", "Invalid 'best_of': it must not be less than 'n'.");
  }
  if (completion.options.stream.stream) {
    return reader.wrong("best_of",
                        "Invalid 'best_of': with 'stream' it must equal 'n', since the best answer "
                        "is known only at the end.");
  }
  completion.request.n = static_cast<int>(*best_of);
  completion.request.sampling.logprobs = std::max(completion.request.sampling.logprobs, 0);
}

void read_suffix(FieldReader& reader, const service::Model& model, CompletionRequest& completion) {
  const std::optional<std::string_view> suffix = reader.string("suffix");
  if (!suffix || suffix->empty() || !reader.ok()) return;
  if (completion.options.echo) {
    return reader.wrong("echo", "Invalid 'echo': it cannot be combined with 'suffix'.");
  }
  for (service::Prompt& prompt : completion.request.prompts) {
    Result<service::FimPrompt> infill = service::fim_prompt(model, prompt, *suffix);
    if (!infill.ok()) {
      completion.unsupported = infill.error();
      return;
    }
    prompt = service::TokenPrompt{std::move(infill->prompt)};
    completion.request.stop_tokens.insert(completion.request.stop_tokens.end(),
                                          infill->stop_tokens.begin(), infill->stop_tokens.end());
  }
}

}  // namespace

CompletionRequest read_completion(FieldReader& reader, const service::Model& model) {
  CompletionRequest completion;
  service::Request& request = completion.request;
  CompletionOptions& options = completion.options;
  read_prompts(reader, model, request.prompts);
  read_sampling(reader, model, request);
  options.echo = reader.boolean("echo").value_or(false);
  // With echo, 0 tokens may be asked for: the prompt is scored and nothing is added.
  read_limits(reader, model, options.echo ? 0 : 1, request);
  if (!request.max_tokens) request.max_tokens = kMaxTokensDefault;
  if (const std::optional<int64_t> logprobs = reader.integer("logprobs", 0, kLogprobsMax)) {
    options.logprobs = true;
    request.sampling.logprobs = static_cast<int>(*logprobs);
    if (options.echo) request.sampling.prompt_logprobs = static_cast<int>(*logprobs);
  }
  options.stream = read_stream(reader);
  read_best_of(reader, completion);
  if (request.prompts.size() * static_cast<size_t>(request.n) > kChoicesMax) {
    reader.wrong(
        "n", fmt::format("Invalid 'n': {} prompts with {} choices each are more than {} answers.",
                         request.prompts.size(), request.n, kChoicesMax));
  }
  read_suffix(reader, model, completion);
  read_labels(reader);
  refuse(reader, common_refused_fields());
  return completion;
}

}  // namespace pippin::api::openai
