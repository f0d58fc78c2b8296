#include "api/llama/samplers.h"

#include <algorithm>

namespace pippin::api::llama {
namespace {

using engine::SamplingParams;

/// A sampler and how it is turned off.
struct Sampler {
  std::string_view name;
  void (*turn_off)(SamplingParams& sampling);
};

constexpr Sampler kSamplers[] = {
    {"penalties",
     [](SamplingParams& s) {
       s.repetition_penalty = 1;
       s.presence_penalty = s.frequency_penalty = 0;
     }},
    {"dry", [](SamplingParams& s) { s.dry_multiplier = 0; }},
    {"top_n_sigma", [](SamplingParams& s) { s.top_n_sigma = -1; }},
    {"top_k", [](SamplingParams& s) { s.top_k = 0; }},
    {"typ_p", [](SamplingParams& s) { s.typical_p = 1; }},
    {"top_p", [](SamplingParams& s) { s.top_p = 1; }},
    {"min_p", [](SamplingParams& s) { s.min_p = 0; }},
    {"xtc", [](SamplingParams& s) { s.xtc_probability = 0; }},
    {"temperature",
     [](SamplingParams& s) {
       s.temperature = 1;
       s.dynatemp_range = 0;
     }},
};

constexpr std::pair<std::string_view, std::string_view> kOtherNames[] = {
    {"typical_p", "typ_p"}, {"typical", "typ_p"}, {"nucleus", "top_p"}, {"temp", "temperature"},
    {"top-k", "top_k"},     {"top-p", "top_p"},   {"min-p", "min_p"},
};

struct Number {
  std::string_view name;
  float SamplingParams::*member;
};
constexpr Number kNumbers[] = {
    {"temperature", &SamplingParams::temperature},
    {"dynatemp_range", &SamplingParams::dynatemp_range},
    {"dynatemp_exponent", &SamplingParams::dynatemp_exponent},
    {"top_p", &SamplingParams::top_p},
    {"min_p", &SamplingParams::min_p},
    {"top_n_sigma", &SamplingParams::top_n_sigma},
    {"xtc_probability", &SamplingParams::xtc_probability},
    {"xtc_threshold", &SamplingParams::xtc_threshold},
    {"typical_p", &SamplingParams::typical_p},
    {"repeat_penalty", &SamplingParams::repetition_penalty},
    {"presence_penalty", &SamplingParams::presence_penalty},
    {"frequency_penalty", &SamplingParams::frequency_penalty},
    {"dry_multiplier", &SamplingParams::dry_multiplier},
    {"dry_base", &SamplingParams::dry_base},
    {"mirostat_tau", &SamplingParams::mirostat_tau},
    {"mirostat_eta", &SamplingParams::mirostat_eta},
};

struct Integer {
  std::string_view name;
  int SamplingParams::*member;
};
constexpr Integer kIntegers[] = {
    {"top_k", &SamplingParams::top_k},
    {"repeat_last_n", &SamplingParams::penalty_last_n},
    {"dry_allowed_length", &SamplingParams::dry_allowed_length},
    {"dry_penalty_last_n", &SamplingParams::dry_penalty_last_n},
    {"mirostat", &SamplingParams::mirostat},
};

}  // namespace

std::vector<std::string> sampler_names() {
  std::vector<std::string> names;
  for (const Sampler& sampler : kSamplers) names.emplace_back(sampler.name);
  return names;
}

std::optional<std::string> sampler_name(std::string_view name) {
  for (const auto& [other, known] : kOtherNames) {
    if (other == name) return std::string(known);
  }
  const Sampler* found = std::ranges::find(kSamplers, name, &Sampler::name);
  if (found == std::end(kSamplers)) return std::nullopt;
  return std::string(name);
}

void keep_samplers(const std::vector<std::string>& names, SamplingParams& sampling) {
  for (const Sampler& sampler : kSamplers) {
    if (std::ranges::find(names, sampler.name) == names.end()) sampler.turn_off(sampling);
  }
}

void write_settings(service::JsonWriter& json, const service::Request& request,
                    const std::vector<std::string>& samplers) {
  const SamplingParams& sampling = request.sampling;
  json.key("seed");
  if (request.seed) {
    json.integer(*request.seed);
  } else {
    json.integer(uint64_t{4294967295});  // llama-server's word for random
  }
  for (const Number& number : kNumbers) json.key(number.name).number(sampling.*number.member);
  for (const Integer& integer : kIntegers) json.field(integer.name, sampling.*integer.member);
  json.key("stop").begin_array();
  for (const std::string& stop : request.stop) json.string(stop);
  json.end_array();
  const int limit = request.max_tokens.value_or(-1);
  json.field("max_tokens", limit).field("n_predict", limit);
  json.field("n_keep", 0).field("n_discard", 0).field("ignore_eos", request.ignore_eos);
  json.field("min_keep", 0);
  json.key("samplers").begin_array();
  for (const std::string& name : samplers) json.string(name);
  json.end_array();
}

}  // namespace pippin::api::llama
