#include "api/llama/read_completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "api/llama/samplers.h"
#include "api/openai/read_common.h"
#include "api/openai/read_format.h"
#include "api/shared/names.h"
#include "api/shared/sampling.h"
#include "service/chat/fim.h"
#include "service/chat/prompt.h"

namespace pippin::api::llama {
namespace {

using engine::SamplingParams;
using service::Model;
using service::Token;

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr size_t kPromptsMax = 64;
constexpr size_t kAnswersMax = 128;
constexpr int kChoicesMax = 16;
constexpr int kProbabilitiesMax = 20;
constexpr size_t kStopsMax = 16;
constexpr size_t kBiasesMax = 1024;
constexpr size_t kFieldsMax = 64;
constexpr size_t kOthersMax = 256;
constexpr double kBan = -100;

constexpr openai::RefusedField kRefused[] = {
    {"lora", "adapters cannot be served yet"},
    {"multimodal_data", "this model reads text only"},
    {"post_sampling_probs", "probabilities are those before sampling"},
    {"grammar_lazy", "a grammar holds the whole answer"},
};

// --- Prompts ---

// A prompt as an object: {"prompt_string": .., "multimodal_data": []}.
void read_prompt_object(FieldReader& reader, const std::string& name,
                        const boost::json::object& object, std::vector<service::Prompt>& to) {
  FieldReader fields(object, reader.path_of(name), reader);
  openai::refuse(fields, kRefused);
  if (const auto text = fields.required_string("prompt_string"))
    to.emplace_back(service::TextPrompt{std::string(*text)});
}

// Token ids and texts in one list, as one prompt.
void read_mixed(FieldReader& reader, const std::string& name, const boost::json::array& list,
                const Model& model, std::vector<service::Prompt>& to) {
  service::TokenPrompt prompt;
  for (size_t i = 0; i < list.size() && reader.ok(); ++i) {
    const boost::json::string* text = list[i].if_string();
    if (text == nullptr) {
      read_tokens(reader, fmt::format("{}[{}]", name, i), {list[i]}, model, prompt.tokens);
      continue;
    }
    const auto tokens =
        service::text_tokens(model, {{std::string(*text), text::Specials::kParse}}, i == 0,
                             "prompt", static_cast<size_t>(model.context_tokens_max));
    if (!tokens.ok()) return reader.wrong(name, tokens.error().message);
    prompt.tokens.insert(prompt.tokens.end(), tokens->begin(), tokens->end());
  }
  to.emplace_back(std::move(prompt));
}

void read_prompt(FieldReader& reader, const std::string& name, const boost::json::value& value,
                 const Model& model, std::vector<service::Prompt>& to) {
  if (const boost::json::string* text = value.if_string()) {
    to.emplace_back(service::TextPrompt{std::string(text->data(), text->size())});
  } else if (const boost::json::object* object = value.if_object()) {
    read_prompt_object(reader, name, *object, to);
  } else if (const boost::json::array* list = value.if_array()) {
    read_mixed(reader, name, *list, model, to);
  } else {
    reader.wrong_type(name, "a string, an object or an array of token ids", value);
  }
}

void read_prompts(FieldReader& reader, const Model& model, std::vector<service::Prompt>& to) {
  const boost::json::value* prompt = reader.any("prompt");
  if (prompt == nullptr) return reader.missing("prompt");
  const boost::json::array* list = prompt->if_array();
  const auto is_number = [](const boost::json::value& value) { return value.is_number(); };
  // A list with a number in it is one prompt, any other a list of prompts.
  if (list == nullptr || std::ranges::any_of(*list, is_number))
    return read_prompt(reader, "prompt", *prompt, model, to);
  if (list->empty() || list->size() > kPromptsMax) {
    return reader.wrong(
        "prompt", fmt::format("Invalid 'prompt': 1 to {} prompts were expected.", kPromptsMax));
  }
  for (size_t i = 0; i < list->size() && reader.ok(); ++i)
    read_prompt(reader, fmt::format("prompt[{}]", i), (*list)[i], model, to);
}

// --- Sampling ---

void read_bias(FieldReader& reader, const boost::json::value& bias, const Model& model,
               SamplingParams& sampling) {
  const boost::json::array* list = bias.if_array();
  if (list == nullptr) return;
  const auto wrong = [&](size_t i) {
    reader.wrong(fmt::format("logit_bias[{}]", i),
                 "Invalid 'logit_bias': pairs of a token id or a text and a number, or false, were "
                 "expected.");
  };
  if (list->size() > kBiasesMax) return wrong(kBiasesMax);
  for (size_t i = 0; i < list->size(); ++i) {
    const boost::json::array* pair = (*list)[i].if_array();
    if (pair == nullptr || pair->size() != 2) return wrong(i);
    const boost::json::value& amount = (*pair)[1];
    if (!amount.is_number() && amount != boost::json::value(false)) return wrong(i);
    const double value = amount.is_number() ? amount.to_number<double>() : kBan;
    std::vector<Token> tokens;
    if (const boost::json::string* text = (*pair)[0].if_string()) {
      const auto encoded =
          service::text_tokens(model, {{std::string(*text), text::Specials::kParse}}, false,
                               "logit_bias", static_cast<size_t>(model.context_tokens_max));
      if (encoded.ok()) tokens = *encoded;
    } else {
      read_tokens(reader, fmt::format("logit_bias[{}]", i), {(*pair)[0]}, model, tokens);
    }
    for (const Token token : tokens)
      sampling.logit_bias.emplace_back(token, static_cast<float>(std::clamp(value, -100.0, 100.0)));
  }
}

void read_samplers(FieldReader& reader, CompletionRequest& completion) {
  completion.options.samplers = sampler_names();
  const boost::json::array* list = reader.array("samplers");
  if (list == nullptr) return;
  completion.options.samplers.clear();
  for (size_t i = 0; i < list->size(); ++i) {
    const boost::json::string* text = (*list)[i].if_string();
    const std::string path = fmt::format("samplers[{}]", i);
    if (text == nullptr) return reader.wrong_type(path, "a string", (*list)[i]);
    const std::optional<std::string> name = sampler_name(*text);
    if (!name) {
      return reader.wrong(path,
                          fmt::format("Invalid value: '{}'. Supported values are: {}.",
                                      std::string_view(*text), fmt::join(sampler_names(), ", ")));
    }
    completion.options.samplers.push_back(*name);
  }
  keep_samplers(completion.options.samplers, completion.request.sampling);
}

// --- The rest ---

void read_limits(FieldReader& reader, service::Request& request) {
  constexpr int64_t kRandom = 4294967295;  // -1 as llama-server has it
  if (const auto limit = reader.integer("n_predict", -2, kIntMax)) {
    if (*limit >= 0) request.max_tokens = static_cast<int>(*limit);
  }
  if (const auto n = reader.integer("n_cmpl", 1, kChoicesMax)) request.n = static_cast<int>(*n);
  const auto seed = reader.integer("seed", std::numeric_limits<int64_t>::min(),
                                   std::numeric_limits<int64_t>::max());
  if (seed && *seed >= 0 && *seed != kRandom) request.seed = static_cast<uint64_t>(*seed);
  request.ignore_eos = reader.boolean("ignore_eos").value_or(false);
  read_stop(reader, "stop", kStopsMax, request.stop);
  // A salt of its own finds nothing that others have left, and leaves nothing to them.
  if (!reader.boolean("cache_prompt").value_or(true)) request.cache_salt = new_id("uncached-");
}

void read_form(FieldReader& reader, CompletionRequest& completion) {
  CompletionOptions& options = completion.options;
  options.stream = reader.boolean("stream").value_or(false);
  options.timings_per_token = reader.boolean("timings_per_token").value_or(false);
  options.return_tokens = reader.boolean("return_tokens").value_or(false);
  options.probabilities =
      static_cast<int>(reader.integer("n_probs", 0, kProbabilitiesMax).value_or(0));
  const boost::json::array* fields = reader.array("response_fields");
  if (fields == nullptr) return;
  if (fields->size() > kFieldsMax)
    return reader.wrong("response_fields", "Invalid 'response_fields': array too long.");
  for (size_t i = 0; i < fields->size(); ++i) {
    const boost::json::string* name = (*fields)[i].if_string();
    if (name == nullptr)
      return reader.wrong_type(fmt::format("response_fields[{}]", i), "a string", (*fields)[i]);
    options.response_fields.emplace_back(name->data(), name->size());
  }
}

// All but the prompts.
void read_options(FieldReader& reader, const boost::json::value& bias, const Model& model,
                  CompletionRequest& completion) {
  service::Request& request = completion.request;
  read_sampling(reader, model, request);
  if (const auto penalty = reader.number("repeat_penalty", 0.01, 100))
    request.sampling.repetition_penalty = static_cast<float>(*penalty);
  if (reader.any("penalty_last_n") == nullptr) request.sampling.penalty_last_n = kPenaltyLastN;
  if (const auto last = reader.integer("repeat_last_n", -1, kIntMax))
    request.sampling.penalty_last_n = static_cast<int>(*last);
  read_bias(reader, bias, model, request.sampling);
  read_limits(reader, request);
  openai::read_guides(reader, request);
  read_form(reader, completion);
  read_samplers(reader, completion);
  openai::refuse(reader, kRefused);
  if (request.prompts.size() * static_cast<size_t>(request.n) > kAnswersMax)
    reader.wrong("n_cmpl", fmt::format("Invalid 'n_cmpl': more than {} answers.", kAnswersMax));
  // The ids of tokens come with their probabilities; of several answers they count the tokens.
  const bool several = request.prompts.size() * static_cast<size_t>(request.n) > 1;
  if (completion.options.probabilities > 0 || completion.options.return_tokens ||
      completion.options.stream || several)
    request.sampling.logprobs = completion.options.probabilities;
}

std::vector<service::FimFile> read_others(FieldReader& reader) {
  std::vector<service::FimFile> others;
  const boost::json::array* extra = reader.array("input_extra");
  if (extra == nullptr) return others;
  if (extra->size() > kOthersMax) {
    reader.wrong("input_extra", "Invalid 'input_extra': array too long.");
    return others;
  }
  for (size_t i = 0; i < extra->size() && reader.ok(); ++i) {
    const std::string name = fmt::format("input_extra[{}]", i);
    const boost::json::object* object = (*extra)[i].if_object();
    if (object == nullptr) {
      reader.wrong_type(name, "an object", (*extra)[i]);
      return others;
    }
    FieldReader fields(*object, name, reader);
    const std::string_view text = fields.required_string("text").value_or("");
    others.push_back({std::string(fields.string("filename").value_or("other")), std::string(text)});
  }
  return others;
}

}  // namespace

boost::json::value take_bias_list(boost::json::object& body) {
  const boost::json::value* bias = body.if_contains("logit_bias");
  if (bias == nullptr || !bias->is_array()) return nullptr;
  boost::json::value taken = *bias;
  body.erase("logit_bias");
  return taken;
}

CompletionRequest read_completion(FieldReader& reader, const boost::json::value& bias,
                                  const Model& model) {
  CompletionRequest completion;
  read_prompts(reader, model, completion.request.prompts);
  read_options(reader, bias, model, completion);
  return completion;
}

CompletionRequest read_infill(FieldReader& reader, const boost::json::value& bias,
                              const Model& model) {
  CompletionRequest completion;
  const std::string_view before = reader.required_string("input_prefix").value_or("");
  const std::string_view behind = reader.required_string("input_suffix").value_or("");
  const std::string_view prompt = reader.string("prompt").value_or("");
  const std::vector<service::FimFile> others = read_others(reader);
  read_options(reader, bias, model, completion);
  if (!reader.ok()) return completion;
  // The prompt is the beginning of what stands in the gap.
  const service::TextPrompt prefix{std::string(before) + std::string(prompt)};
  Result<service::FimPrompt> infill = service::fim_prompt(model, prefix, behind, others);
  if (!infill.ok()) {
    completion.error = infill.error();
    return completion;
  }
  completion.request.prompts.emplace_back(service::TokenPrompt{std::move(infill->prompt)});
  completion.request.stop_tokens = std::move(infill->stop_tokens);
  return completion;
}

}  // namespace pippin::api::llama
