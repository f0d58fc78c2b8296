#include "api/shared/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "service/chat/sequence_breakers.h"

namespace pippin::api {
namespace {

using engine::SamplingParams;

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr size_t kStopBytesMax = 4096;
constexpr size_t kBreakersMax = 32;
constexpr size_t kBreakerBytesMax = 40;  // llama.cpp's limit

// A penalty of 0 would divide by 0; the samplers' definitions are in engine/exec/sampling.
constexpr NumberField kNumbers[] = {
    {"temperature", 0, 2, &SamplingParams::temperature},
    {"top_p", 0, 1, &SamplingParams::top_p},
    {"min_p", 0, 1, &SamplingParams::min_p},
    {"typical_p", 0, 1, &SamplingParams::typical_p},
    {"top_n_sigma", -1, 1000, &SamplingParams::top_n_sigma},
    {"repetition_penalty", 0.01, 100, &SamplingParams::repetition_penalty},
    {"presence_penalty", -2, 2, &SamplingParams::presence_penalty},
    {"frequency_penalty", -2, 2, &SamplingParams::frequency_penalty},
    {"xtc_probability", 0, 1, &SamplingParams::xtc_probability},
    {"xtc_threshold", 0, 1, &SamplingParams::xtc_threshold},
    {"dynatemp_range", 0, 2, &SamplingParams::dynatemp_range},
    {"dynatemp_exponent", 0, 100, &SamplingParams::dynatemp_exponent},
    {"mirostat_tau", 0, 100, &SamplingParams::mirostat_tau},
    {"mirostat_eta", 0, 1, &SamplingParams::mirostat_eta},
    {"dry_multiplier", 0, 100, &SamplingParams::dry_multiplier},
    {"dry_base", 1, 100, &SamplingParams::dry_base},
};

struct IntegerField {
  std::string_view name;
  int low, high;
  int SamplingParams::*member;
};

constexpr IntegerField kIntegers[] = {
    {"penalty_last_n", -1, kIntMax, &SamplingParams::penalty_last_n},
    {"dry_allowed_length", 0, kIntMax, &SamplingParams::dry_allowed_length},
    {"dry_penalty_last_n", -1, kIntMax, &SamplingParams::dry_penalty_last_n},
};

// Returns the token of a logit_bias key, or -1.
int64_t token_key(std::string_view key) {
  int64_t token = -1;
  const auto end = std::from_chars(key.data(), key.data() + key.size(), token);
  return end.ec == std::errc() && end.ptr == key.data() + key.size() ? token : -1;
}

void read_logit_bias(FieldReader& reader, const service::Model& model, SamplingParams& sampling) {
  const boost::json::object* bias = reader.object("logit_bias");
  if (bias == nullptr) return;
  const int vocab = model.tokenizer->vocab_size();
  FieldReader entries(*bias, "logit_bias", reader);
  sampling.logit_bias.clear();
  for (const auto& [key, unused] : *bias) {
    const int64_t token = token_key(key);
    if (token < 0 || token >= vocab) {
      entries.wrong(
          key, fmt::format(
                   "Invalid key in 'logit_bias': a token id in [0, {}) was expected, but got '{}'.",
                   vocab, std::string_view(key)));
      return;
    }
    if (const auto value = entries.number(key, -100, 100)) {
      sampling.logit_bias.emplace_back(static_cast<service::Token>(token),
                                       static_cast<float>(*value));
    }
  }
}

// allowed_token_ids is vLLM's name.
void read_token_sets(FieldReader& reader, const service::Model& model, SamplingParams& sampling) {
  for (const char* name : {"allowed_tokens", "allowed_token_ids"}) {
    if (const boost::json::array* tokens = reader.array(name))
      read_tokens(reader, name, *tokens, model, sampling.allowed_tokens);
  }
  if (const boost::json::array* tokens = reader.array("banned_tokens"))
    read_tokens(reader, "banned_tokens", *tokens, model, sampling.banned_tokens);
}

// Texts, as llama-server takes them. Without DRY they have nothing to break.
void read_breakers(FieldReader& reader, const service::Model& model, SamplingParams& sampling) {
  const boost::json::array* list = reader.array("dry_sequence_breakers");
  if (list == nullptr) return;
  if (list->size() > kBreakersMax) {
    return reader.wrong("dry_sequence_breakers",
                        fmt::format("Invalid 'dry_sequence_breakers': array too long. Expected at "
                                    "most {} strings, but got {}.",
                                    kBreakersMax, list->size()),
                        "array_above_max_length");
  }
  std::vector<std::string> texts;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string name = fmt::format("dry_sequence_breakers[{}]", i);
    const boost::json::string* text = (*list)[i].if_string();
    if (text == nullptr) return reader.wrong_type(name, "a string", (*list)[i]);
    if (text->empty() || text->size() > kBreakerBytesMax) {
      return reader.wrong(
          name, fmt::format("Invalid '{}': 1 to {} bytes were expected.", name, kBreakerBytesMax));
    }
    texts.emplace_back(text->data(), text->size());
  }
  if (sampling.dry_multiplier > 0)
    sampling.dry_sequence_breakers = service::sequence_breakers(*model.tokenizer, texts);
}

void add_stop(FieldReader& reader, std::string_view name, const boost::json::value& value,
              std::vector<std::string>& stops) {
  const boost::json::string* text = value.if_string();
  if (text == nullptr) return reader.wrong_type(name, "a string", value);
  const std::string path = reader.path_of(name);
  if (text->empty()) {
    return reader.wrong(name,
                        fmt::format("Invalid '{}': an empty string would stop every answer.", path),
                        "empty_string");
  }
  if (text->size() > kStopBytesMax) {
    return reader.wrong(
        name,
        fmt::format("Invalid '{}': string too long. Expected at most {} bytes, but got {}.", path,
                    kStopBytesMax, text->size()),
        "string_above_max_length");
  }
  stops.emplace_back(text->data(), text->size());
}

}  // namespace

void read_numbers(FieldReader& reader, std::span<const NumberField> fields,
                  SamplingParams& sampling) {
  for (const NumberField& field : fields) {
    if (const auto value = reader.number(field.name, field.low, field.high))
      sampling.*field.member = static_cast<float>(*value);
  }
}

void read_top_k(FieldReader& reader, SamplingParams& sampling) {
  if (const auto top_k = reader.integer("top_k", -1, kIntMax))
    sampling.top_k = static_cast<int>(*top_k);
  sampling.top_k = std::max(sampling.top_k, 0);  // -1 is another way to say off
}

void read_mirostat(FieldReader& reader, SamplingParams& sampling) {
  const auto mirostat = reader.integer("mirostat", 0, 2);
  if (!mirostat) return;
  if (*mirostat == 1) {
    reader.wrong(
        "mirostat",
        fmt::format("Invalid '{}': only 0 (off) and 2 are supported.", reader.path_of("mirostat")),
        "unsupported_value");
  }
  sampling.mirostat = static_cast<int>(*mirostat);
}

void read_sampling(FieldReader& reader, const service::Model& model, service::Request& request) {
  SamplingParams& sampling = request.sampling;
  sampling = model.default_sampling;
  read_numbers(reader, kNumbers, sampling);
  read_top_k(reader, sampling);
  for (const IntegerField& field : kIntegers) {
    if (const auto value = reader.integer(field.name, field.low, field.high)) {
      sampling.*field.member = static_cast<int>(*value);
    }
  }
  read_mirostat(reader, sampling);
  read_logit_bias(reader, model, sampling);
  read_token_sets(reader, model, sampling);
  read_breakers(reader, model, sampling);
}

void read_stop(FieldReader& reader, std::string_view name, size_t count_max,
               std::vector<std::string>& stops) {
  const boost::json::value* stop = reader.any(name);
  if (stop == nullptr) return;
  if (stop->is_string()) return add_stop(reader, name, *stop, stops);
  const boost::json::array* list = stop->if_array();
  if (list == nullptr) return reader.wrong_type(name, "a string or an array of strings", *stop);
  if (list->size() > count_max) {
    return reader.wrong(
        name,
        fmt::format("Invalid '{}': array too long. Expected at most {} strings, but got {}.", name,
                    count_max, list->size()),
        "array_above_max_length");
  }
  for (size_t i = 0; i < list->size(); ++i)
    add_stop(reader, fmt::format("{}[{}]", name, i), (*list)[i], stops);
}

void read_tokens(FieldReader& reader, std::string_view name, const boost::json::array& array,
                 const service::Model& model, std::vector<service::Token>& tokens) {
  const int vocab = model.tokenizer->vocab_size();
  tokens.reserve(tokens.size() + array.size());
  for (size_t i = 0; i < array.size(); ++i) {
    const int64_t* token = array[i].if_int64();
    if (token != nullptr && *token >= 0 && *token < vocab) {
      tokens.push_back(static_cast<service::Token>(*token));
      continue;
    }
    const std::string entry = fmt::format("{}[{}]", name, i);
    if (!array[i].is_number()) return reader.wrong_type(entry, "a token id", array[i]);
    return reader.wrong(entry, fmt::format("Invalid '{}': a token id in [0, {}) was expected.",
                                           reader.path_of(entry), vocab));
  }
}

}  // namespace pippin::api
