// Writes goldens_llama.json: what is left of fixed logits after llama.cpp's samplers, for the
// options that transformers lacks (DRY, XTC, top-n-sigma, mirostat 2, dynamic temperature,
// penalties over a window) and for its default order. Not part of the build:
//
//   g++ -std=c++20 -I$LLAMA/include -I$LLAMA/ggml/include tests/engine/exec/make_llama_goldens.cpp
//       -L$LLAMA_BUILD/bin -lllama -lggml-base -Wl,-rpath,$LLAMA_BUILD/bin -o make_llama_goldens
//   ./make_llama_goldens > tests/engine/exec/goldens_llama.json
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "llama.h"

// Declared in llama.cpp's own header for its tests.
llama_sampler* llama_sampler_init_dry_testing(
    float multiplier, float base, int32_t allowed_length, int32_t last_n,
    const std::vector<std::vector<llama_token>>& breakers);

namespace {

using Tokens = std::vector<llama_token>;

// Roughly normal values, multiples of 1/64, without ties: the same as in make_goldens.py.
std::vector<float> make_row(uint64_t state, int size, double spread) {
  std::vector<float> row;
  std::set<float> values;
  while (static_cast<int>(row.size()) < size) {
    double total = 0;
    for (int i = 0; i < 4; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      total += static_cast<double>(state >> 40);
    }
    float value =
        static_cast<float>(std::nearbyint((total / 16777216.0 - 2) * spread * 64 * 1.7) / 64);
    while (values.contains(value)) value += 1.0f / 64;
    values.insert(value);
    row.push_back(value);
  }
  return row;
}

// The options by the field names of engine::SamplingParams, as JSON, beside the samplers that they
// stand for.
struct Case {
  std::string options;
  Tokens tokens;  // the answer so far
  std::function<std::vector<llama_sampler*>()> samplers;
};

std::string list(const Tokens& tokens) {
  std::string out = "[";
  for (size_t i = 0; i < tokens.size(); ++i) out += (i ? "," : "") + std::to_string(tokens[i]);
  return out + "]";
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

Case dry(Tokens tokens, float multiplier, float base, int allowed, int last_n,
         std::vector<Tokens> breakers) {
  std::string json = "\"dry_multiplier\":" + number(multiplier) + ",\"dry_base\":" + number(base) +
                     ",\"dry_allowed_length\":" + std::to_string(allowed) +
                     ",\"dry_penalty_last_n\":" + std::to_string(last_n) +
                     ",\"dry_sequence_breakers\":[";
  for (size_t i = 0; i < breakers.size(); ++i) json += (i ? "," : "") + list(breakers[i]);
  return {json + "]", std::move(tokens), [=] {
            return std::vector{
                llama_sampler_init_dry_testing(multiplier, base, allowed, last_n, breakers)};
          }};
}

std::vector<Case> make_cases() {
  const Tokens repeats = {9, 1, 2, 3, 4, 9, 1, 2, 3, 7, 1, 2, 3, 4, 9, 1, 2, 3};
  const Tokens loop = {5, 6, 5, 6, 5, 6, 5, 6, 5, 6, 5, 6, 5};
  std::vector<Case> cases;
  for (float sigma : {0.5f, 1.0f, 2.0f, 3.5f})
    cases.push_back({"\"top_n_sigma\":" + number(sigma), {}, [=] {
                       return std::vector{llama_sampler_init_top_n_sigma(sigma)};
                     }});
  for (float threshold : {0.02f, 0.05f, 0.1f, 0.3f})
    cases.push_back({"\"xtc_probability\":1,\"xtc_threshold\":" + number(threshold), {}, [=] {
                       return std::vector{llama_sampler_init_xtc(1.0f, threshold, 0, 1)};
                     }});
  for (auto [t, range, exponent] :
       {std::tuple{1.0f, 0.5f, 1.0f}, {0.8f, 0.8f, 1.0f}, {1.2f, 0.3f, 2.0f}, {0.5f, 1.0f, 0.5f}})
    cases.push_back({"\"temperature\":" + number(t) + ",\"dynatemp_range\":" + number(range) +
                         ",\"dynatemp_exponent\":" + number(exponent),
                     {},
                     [=] { return std::vector{llama_sampler_init_temp_ext(t, range, exponent)}; }});
  for (auto [t, tau] :
       {std::pair{1.0f, 5.0f}, {1.0f, 2.0f}, {0.7f, 1.0f}, {1.5f, 1.5f}, {1.0f, 0.1f}})
    cases.push_back({"\"mirostat\":2,\"mirostat_eta\":0.1,\"mirostat_tau\":" + number(tau) +
                         ",\"temperature\":" + number(t),
                     {},
                     [=] {
                       return std::vector{llama_sampler_init_temp(t),
                                          llama_sampler_init_mirostat_v2(1, tau, 0.1f)};
                     }});
  for (int last_n : {4, 64})
    cases.push_back(
        {"\"penalty_last_n\":" + std::to_string(last_n) + ",\"repetition_penalty\":1.25", repeats,
         [=] { return std::vector{llama_sampler_init_penalties(64, last_n, 1.25f, 0, 0)}; }});
  cases.push_back(
      {"\"penalty_last_n\":64,\"repetition_penalty\":1.25,\"presence_penalty\":0.5,\"frequency_"
       "penalty\":0.3",
       repeats,
       [] { return std::vector{llama_sampler_init_penalties(64, 64, 1.25f, 0.3f, 0.5f)}; }});
  cases.push_back(dry(repeats, 0.8f, 1.75f, 2, 64, {}));
  cases.push_back(dry(repeats, 0.8f, 1.75f, 2, 7, {}));
  cases.push_back(dry(repeats, 0.8f, 1.75f, 4, 64, {}));
  cases.push_back(dry(repeats, 0.8f, 1.75f, 2, 64, {{4}}));
  cases.push_back(dry(repeats, 0.8f, 1.75f, 1, 64, {{1}}));
  cases.push_back(dry(repeats, 0.8f, 1.75f, 1, 64, {{9, 1}}));
  cases.push_back(dry(repeats, 0.8f, 1.75f, 1, 64, {{1, 2, 3}}));
  cases.push_back(dry(loop, 0.5f, 1.2f, 2, 64, {{60}}));
  cases.push_back(dry(loop, 0.5f, 1.2f, 3, 64, {{5}}));
  cases.push_back(dry({7, 7, 7, 7, 7, 7}, 1.0f, 3.0f, 1, 64, {}));
  cases.push_back(
      {"\"temperature\":0.7,\"top_k\":30,\"typical_p\":0.9,\"top_p\":0.9,\"min_p\":0.02,\"top_n_"
       "sigma\":2.5,"
       "\"xtc_probability\":1,\"xtc_threshold\":0.1,\"repetition_penalty\":1.1,\"penalty_last_n\":"
       "64",
       repeats, [] {
         return std::vector{llama_sampler_init_penalties(64, 64, 1.1f, 0, 0),
                            llama_sampler_init_top_n_sigma(2.5f),
                            llama_sampler_init_top_k(30),
                            llama_sampler_init_typical(0.9f, 0),
                            llama_sampler_init_top_p(0.9f, 0),
                            llama_sampler_init_min_p(0.02f, 0),
                            llama_sampler_init_xtc(1.0f, 0.1f, 0, 1),
                            llama_sampler_init_temp_ext(0.7f, 0, 1)};
       }});
  return cases;
}

std::string left_after(const Case& one, const std::vector<float>& row) {
  std::vector<llama_token_data> data;
  for (size_t i = 0; i < row.size(); ++i) data.push_back({static_cast<llama_token>(i), row[i], 0});
  llama_token_data_array left = {data.data(), data.size(), -1, false};
  for (llama_sampler* sampler : one.samplers()) {
    for (llama_token token : one.tokens) llama_sampler_accept(sampler, token);
    llama_sampler_apply(sampler, &left);
    llama_sampler_free(sampler);
  }
  double sum = 0;
  float max = -INFINITY;
  for (size_t i = 0; i < left.size; ++i) max = std::fmax(max, left.data[i].logit);
  for (size_t i = 0; i < left.size; ++i)
    sum += std::exp(static_cast<double>(left.data[i].logit - max));
  std::string out;
  for (size_t i = 0; i < left.size; ++i) {
    const double p = std::exp(static_cast<double>(left.data[i].logit - max)) / sum;
    char text[48];
    std::snprintf(text, sizeof(text), "%s[%d,%.7g]", out.empty() ? "" : ",", left.data[i].id, p);
    if (p > 0) out += text;
  }
  return "[" + out + "]";
}

}  // namespace

int main() {
  // The prompt is one token outside the rows: everything penalised is in the answer.
  const std::vector<std::vector<float>> rows = {make_row(11, 64, 1.0), make_row(12, 64, 3.0)};
  std::printf("{\"made_by\":\"llama.cpp\",\"prompt\":[1000],\"rows\":[");
  for (size_t r = 0; r < rows.size(); ++r) {
    std::printf("%s[", r ? "," : "");
    for (size_t i = 0; i < rows[r].size(); ++i) std::printf("%s%.9g", i ? "," : "", rows[r][i]);
    std::printf("]");
  }
  std::printf("],\"cases\":[");
  bool first = true;
  for (const Case& one : make_cases())
    for (size_t r = 0; r < rows.size(); ++r) {
      std::printf("%s\n{\"row\":%zu,\"generated\":%s,\"options\":{%s},\"left\":%s}",
                  first ? "" : ",", r, list(one.tokens).c_str(), one.options.c_str(),
                  left_after(one, rows[r]).c_str());
      first = false;
    }
  std::printf("]}\n");
}
