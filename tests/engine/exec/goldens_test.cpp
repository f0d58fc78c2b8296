// What is left of fixed logits, and with what probability, compared with transformers and with
// llama.cpp. The files beside this one are made by make_goldens.py and make_llama_goldens.cpp.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>

#include "engine/exec/sampling/sampler.h"
#include "tolerance.h"

namespace pippin::engine {
namespace {

using namespace pippin::test;

namespace json = boost::json;

json::value read_json(const std::string& name) {
  std::ifstream file(PIPPIN_SOURCE_DIR "/tests/engine/exec/" + name);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  return json::parse(text);
}

std::vector<Token> tokens_of(const json::value& value) {
  return json::value_to<std::vector<Token>>(value);
}

/// Sets the fields of a submission by their names. Returns false for a name it does not know.
bool set_option(Submission& submission, std::string_view name, const json::value& value) {
  SamplingParams& params = submission.sampling;
  const std::map<std::string_view, float*> floats = {
      {"temperature", &params.temperature},
      {"top_p", &params.top_p},
      {"min_p", &params.min_p},
      {"typical_p", &params.typical_p},
      {"top_n_sigma", &params.top_n_sigma},
      {"xtc_probability", &params.xtc_probability},
      {"xtc_threshold", &params.xtc_threshold},
      {"dynatemp_range", &params.dynatemp_range},
      {"dynatemp_exponent", &params.dynatemp_exponent},
      {"mirostat_tau", &params.mirostat_tau},
      {"mirostat_eta", &params.mirostat_eta},
      {"repetition_penalty", &params.repetition_penalty},
      {"presence_penalty", &params.presence_penalty},
      {"frequency_penalty", &params.frequency_penalty},
      {"dry_multiplier", &params.dry_multiplier},
      {"dry_base", &params.dry_base}};
  const std::map<std::string_view, int*> ints = {{"top_k", &params.top_k},
                                                 {"mirostat", &params.mirostat},
                                                 {"penalty_last_n", &params.penalty_last_n},
                                                 {"dry_allowed_length", &params.dry_allowed_length},
                                                 {"dry_penalty_last_n", &params.dry_penalty_last_n},
                                                 {"min_tokens", &submission.stop.min_tokens}};
  if (const auto place = floats.find(name); place != floats.end()) {
    *place->second = value.to_number<float>();
  } else if (const auto number = ints.find(name); number != ints.end()) {
    *number->second = value.to_number<int>();
  } else if (name == "banned_tokens") {
    params.banned_tokens = tokens_of(value);
  } else if (name == "stop_tokens") {
    submission.stop.stop_tokens = tokens_of(value);
  } else if (name == "dry_sequence_breakers") {
    params.dry_sequence_breakers = json::value_to<std::vector<std::vector<Token>>>(value);
  } else if (name == "logit_bias") {
    for (const json::value& pair : value.as_array())
      params.logit_bias.emplace_back(pair.at(0).to_number<Token>(), pair.at(1).to_number<float>());
  } else {
    return false;
  }
  return true;
}

void compare(const std::string& file, int cases_min) {
  const json::value goldens = read_json(file);
  const auto rows = json::value_to<std::vector<std::vector<float>>>(goldens.at("rows"));
  int count = 0;
  for (const json::value& one : goldens.at("cases").as_array()) {
    SCOPED_TRACE(json::serialize(one.at("options")) + " row " + json::serialize(one.at("row")));
    Submission submission;
    submission.tokens = tokens_of(goldens.at("prompt"));
    for (const auto& [name, value] : one.at("options").as_object())
      ASSERT_TRUE(set_option(submission, name, value)) << name;
    const json::object& golden = one.as_object();
    const auto generated =
        tokens_of(golden.contains("generated") ? golden.at("generated") : goldens.at("generated"));

    RowSampler sampler(submission, generated);
    std::vector<float> logits = rows[one.at("row").to_number<size_t>()];
    std::map<Token, double> got, expected;
    for (const auto& choice : sampler.choices(logits, static_cast<int>(generated.size()), nullptr))
      got[choice.token] = choice.probability;
    for (const json::value& pair : one.at("left").as_array())
      expected[pair.at(0).to_number<Token>()] = pair.at(1).to_number<double>();

    ASSERT_EQ(got.size(), expected.size());
    for (const auto& [token, probability] : expected) {
      ASSERT_TRUE(got.contains(token)) << token;
      // Both sides work in f32, and goldens have seven digits. Ours are zero below the least
      // normal.
      const double tolerance =
          2 * softmax_tolerance(kEpsilonF32, probability, static_cast<double>(logits.size())) +
          rounding_tolerance(0.5e-6, 1, probability) + std::numeric_limits<float>::min();
      EXPECT_NEAR(got[token], probability, tolerance) << token;
    }
    ++count;
  }
  EXPECT_GE(count, cases_min);
}

TEST(Goldens, Transformers) { compare("goldens_transformers.json", 72); }

TEST(Goldens, LlamaCpp) { compare("goldens_llama.json", 62); }

}  // namespace
}  // namespace pippin::engine
