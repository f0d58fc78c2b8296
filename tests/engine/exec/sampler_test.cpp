#include "engine/exec/sampling/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tolerance.h"

namespace pippin::engine {
namespace {

using namespace pippin::test;

constexpr float kMasked = sampling::kMasked;

Submission submission_of(std::vector<Token> prompt = {1}) {
  Submission submission;
  submission.tokens = std::move(prompt);
  submission.stop.max_tokens = 100;
  return submission;
}

Submission greedy(std::vector<Token> prompt = {1}) {
  Submission submission = submission_of(std::move(prompt));
  submission.sampling.temperature = 0;
  return submission;
}

Token pick(const Submission& submission, std::vector<float> logits, int index = 0,
           const std::vector<uint32_t>* mask = nullptr) {
  const RowOutput out = RowSampler(submission).sample(logits, index, mask);
  EXPECT_FALSE(out.error) << out.error->message;
  EXPECT_TRUE(out.sampled);
  return out.token;
}

// A logit up to 4 is changed, then divided by the temperature; the sum's logarithm is taken off.
const double kLogTolerance = rounding_tolerance(kEpsilonF32, 4, 4);

/// The logits after penalties and biases, read off the distribution at temperature 1: differences
/// of logs.
std::vector<double> logs(RowSampler& sampler, std::vector<float> logits) {
  const size_t n = logits.size();
  std::vector<double> out(n, -INFINITY);
  for (const auto& choice : sampler.choices(logits, 0, nullptr))
    out[static_cast<size_t>(choice.token)] = std::log(choice.probability);
  return out;
}

TEST(RowSampler, TemperatureZeroTakesTheLargestAndTheLowestOfTies) {
  EXPECT_EQ(pick(greedy(), {0, 3, 1, 3}), 1);
  Submission below = greedy();
  below.sampling.temperature = std::nanf("");
  EXPECT_EQ(pick(below, {0, 1, 7}), 2);
}

TEST(RowSampler, TemperatureZeroIgnoresTheCuts) {
  Submission submission = greedy();
  submission.sampling.xtc_probability = 1;
  submission.sampling.xtc_threshold = 0.01f;
  submission.sampling.dynatemp_range = 1;
  submission.sampling.mirostat = 2;
  EXPECT_EQ(pick(submission, {5, 4.9f, 4.8f}), 0);
}

TEST(RowSampler, AllowedBannedAndMaskedTokens) {
  Submission submission = greedy();
  submission.sampling.allowed_tokens = {0, 2, 70, -5, 1000000};
  EXPECT_EQ(pick(submission, {0, 9, 1}), 2);
  submission.sampling.banned_tokens = {2, -1, 1000000};
  EXPECT_EQ(pick(submission, {0, 9, 1}), 0);
  const std::vector<uint32_t> mask = {0b011};
  EXPECT_EQ(pick(greedy(), {0, 1, 9}, 0, &mask), 1);
}

TEST(RowSampler, LogitBiasAddsAndPassesOverUnknownIds) {
  Submission submission = greedy();
  submission.sampling.logit_bias = {{0, 4}, {-1, 50}, {99, 50}, {1, -100}};
  EXPECT_EQ(pick(submission, {6, 9, 9.5f}), 0);
  submission.sampling.logit_bias = {{0, 2}, {0, 2}};
  EXPECT_EQ(pick(submission, {6, 9, 9.5f}), 0);
}

TEST(RowSampler, RepetitionPenaltyDividesPositiveAndMultipliesNegative) {
  Submission submission = submission_of({0, 1, 1});
  submission.sampling.repetition_penalty = 2;
  RowSampler sampler(submission);
  const auto got = logs(sampler, {4, -1, 0.5f});
  EXPECT_NEAR(got[0] - got[2], 2 - 0.5, kLogTolerance);
  EXPECT_NEAR(got[1] - got[2], -2 - 0.5, kLogTolerance);
}

TEST(RowSampler, RepetitionWindowForgetsOldTokens) {
  Submission submission = submission_of({0, 1, 2});
  submission.sampling.repetition_penalty = 2;
  submission.sampling.penalty_last_n = 2;
  RowSampler sampler(submission);
  auto got = logs(sampler, {4, 4, 4, 4});
  EXPECT_NEAR(got[0] - got[3], 0, kLogTolerance);
  EXPECT_NEAR(got[1] - got[3], -2, kLogTolerance);
  EXPECT_NEAR(got[2] - got[3], -2, kLogTolerance);
  sampler.accept(3);
  got = logs(sampler, {4, 4, 4, 4});
  EXPECT_NEAR(got[1] - got[0], 0, kLogTolerance);
  EXPECT_NEAR(got[2] - got[0], -2, kLogTolerance);
  EXPECT_NEAR(got[3] - got[0], -2, kLogTolerance);
  submission.sampling.penalty_last_n = 0;
  RowSampler off(submission);
  got = logs(off, {4, 4, 4, 4});
  EXPECT_EQ(got[1], got[0]);
}

TEST(RowSampler, PresenceAndFrequencyCountTheAnswerOnly) {
  Submission submission = submission_of({0, 0, 0});
  submission.sampling.presence_penalty = 0.5f;
  submission.sampling.frequency_penalty = 0.25f;
  RowSampler sampler(submission);
  sampler.accept(1);
  sampler.accept(2);
  sampler.accept(2);
  const auto got = logs(sampler, {1, 1, 1});
  EXPECT_NEAR(got[1] - got[0], -0.75, kLogTolerance);
  EXPECT_NEAR(got[2] - got[0], -1.0, kLogTolerance);
}

TEST(RowSampler, MinTokensHoldsTheStopBack) {
  Submission submission = greedy();
  submission.stop.stop_tokens = {2, 500};
  submission.stop.min_tokens = 3;
  EXPECT_EQ(pick(submission, {0, 1, 9}, 2), 1);
  EXPECT_EQ(pick(submission, {0, 1, 9}, 3), 2);
  submission.stop.ignore_eos = true;  // stop tokens are ordinary then
  EXPECT_EQ(pick(submission, {0, 1, 9}, 0), 2);
}

TEST(RowSampler, AConstraintAtItsEndWinsOverMinTokens) {
  Submission submission = greedy();
  submission.stop.stop_tokens = {2};
  submission.stop.min_tokens = 3;
  const std::vector<uint32_t> mask = {0b100};
  EXPECT_EQ(pick(submission, {0, 1, 9}, 0, &mask), 2);
}

TEST(RowSampler, BrokenLogitsAreAnErrorOfTheRow) {
  for (const float broken : {std::nanf(""), INFINITY}) {
    for (const int logprobs : {-1, 0}) {
      for (const float temperature : {0.0f, 1.0f}) {
        Submission submission = submission_of();
        submission.sampling.temperature = temperature;
        submission.sampling.logprobs = logprobs;
        std::vector<float> logits = {0, broken, 1};
        const RowOutput out = RowSampler(submission).sample(logits, 0, nullptr);
        ASSERT_TRUE(out.error);
        EXPECT_EQ(out.error->code, Code::kInternal);
        EXPECT_FALSE(out.sampled);
      }
    }
  }
}

TEST(RowSampler, NothingAllowedIsAnErrorOfTheRow) {
  for (const float temperature : {0.0f, 1.0f}) {
    Submission submission = submission_of();
    submission.sampling.temperature = temperature;
    std::vector<float> logits = {0, 1, 2};
    const std::vector<uint32_t> mask = {0};
    const RowOutput out = RowSampler(submission).sample(logits, 0, &mask);
    ASSERT_TRUE(out.error);
    EXPECT_EQ(out.error->code, Code::kInvalidArgument);
    std::vector<float> none;
    EXPECT_TRUE(RowSampler(submission).sample(none, 0, nullptr).error);
  }
}

TEST(RowSampler, LogprobsAreThoseOfTheModelsLogits) {
  Submission submission = submission_of({0});
  submission.sampling.temperature = 0.3f;
  submission.sampling.top_k = 1;
  submission.sampling.logprobs = 2;
  submission.sampling.logit_bias = {{1, 50}};
  submission.sampling.repetition_penalty = 1.5f;
  submission.sampling.banned_tokens = {3};
  std::vector<float> logits = {2, -1, 0.5f, 3};
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  const double log_sum = std::log(sum);
  const RowOutput out = RowSampler(submission).sample(logits, 0, nullptr);
  EXPECT_EQ(out.token, 1);
  EXPECT_NEAR(out.logprob, -1 - log_sum, kLogTolerance);
  ASSERT_EQ(out.top.size(), 2U);
  EXPECT_EQ(out.top[0].token, 3);
  EXPECT_NEAR(out.top[0].logprob, 3 - log_sum, kLogTolerance);
  EXPECT_EQ(out.top[1].token, 0);
}

TEST(RowSampler, TopLogprobsAreBounded) {
  for (const auto& [asked, given] : {std::pair{0, 0}, {5, 5}, {20, 20}, {2000, 20}}) {
    Submission submission = greedy();
    submission.sampling.logprobs = asked;
    std::vector<float> logits(3000);
    for (size_t i = 0; i < logits.size(); ++i)
      logits[i] = static_cast<float>(i * 7919 % 3000) * 0.01f;
    const RowOutput out = RowSampler(submission).sample(logits, 0, nullptr);
    ASSERT_EQ(out.top.size(), static_cast<size_t>(given));
    for (size_t i = 1; i < out.top.size(); ++i)
      EXPECT_LT(out.top[i].logprob, out.top[i - 1].logprob);
  }
  Submission few = greedy();
  few.sampling.logprobs = 20;
  std::vector<float> logits = {1, 2, kMasked};
  EXPECT_EQ(RowSampler(few).sample(logits, 0, nullptr).top.size(), 2U);
}

TEST(PromptLogprob, IsTheLogSoftmax) {
  const std::vector<float> logits = {0, 1, 2};
  const double best = -std::log(1 + std::exp(-1.0) + std::exp(-2.0));
  const auto entry = prompt_logprob(logits, 1, 2);
  EXPECT_EQ(entry.chosen.token, 1);
  EXPECT_NEAR(entry.chosen.logprob, best - 1, kLogTolerance);
  ASSERT_EQ(entry.top.size(), 2U);
  EXPECT_EQ(entry.top[0].token, 2);
  EXPECT_NEAR(entry.top[0].logprob, best, kLogTolerance);
}

TEST(PromptLogprob, HasNothingToSayOfBrokenInput) {
  const std::vector<float> broken = {0, std::nanf(""), 1};
  EXPECT_EQ(prompt_logprob(broken, 0, 2).chosen.logprob, -INFINITY);
  const std::vector<float> logits = {0, 1, 2};
  for (const Token outside : {-1, 3})
    EXPECT_EQ(prompt_logprob(logits, outside, 0).chosen.logprob, -INFINITY);
}

std::vector<float> random_logits(size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(n);
  for (float& x : logits) x = normal(generator);
  return logits;
}

SamplingParams everything() {
  SamplingParams params;
  params.temperature = 0.9f;
  params.top_k = 50;
  params.top_p = 0.95f;
  params.min_p = 0.02f;
  params.typical_p = 0.97f;
  params.top_n_sigma = 4;
  params.xtc_probability = 0.5f;
  params.xtc_threshold = 0.05f;
  params.dynatemp_range = 0.3f;
  params.repetition_penalty = 1.2f;
  params.presence_penalty = 0.3f;
  params.frequency_penalty = 0.2f;
  params.penalty_last_n = 6;
  params.dry_multiplier = 0.8f;
  params.dry_sequence_breakers = {{5}, {6, 7}};
  params.seed = 1234567890123ULL;
  return params;
}

TEST(RowSampler, TheSameSeedGivesTheSameTokens) {
  Submission submission = submission_of({1, 2, 3, 1, 2});
  submission.sampling = everything();
  std::vector<Token> runs[3];
  for (int run = 0; run < 3; ++run) {
    if (run == 2) submission.sampling.seed = 4;
    RowSampler sampler(submission);
    for (int i = 0; i < 60; ++i) {
      auto logits = random_logits(400, static_cast<unsigned>(i));
      const RowOutput out = sampler.sample(logits, i, nullptr);
      ASSERT_FALSE(out.error);
      sampler.accept(out.token);
      runs[run].push_back(out.token);
    }
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_NE(runs[0], runs[2]);
}

TEST(RowSampler, ARebuiltSamplerGoesOnAsIfNothingHadHappened) {
  for (const bool mirostat : {false, true}) {
    Submission submission = submission_of({1, 2, 3, 1, 2});
    submission.sampling = everything();
    submission.sampling.mirostat = mirostat ? 2 : 0;
    RowSampler whole(submission);
    std::vector<Token> tokens;
    for (int i = 0; i < 40; ++i) {
      const auto logits = random_logits(300, static_cast<unsigned>(i));
      RowSampler rebuilt(submission, tokens, whole.mirostat_mu());
      auto copy = logits, again = logits;
      const Token token = whole.sample(copy, i, nullptr).token;
      ASSERT_EQ(rebuilt.sample(again, i, nullptr).token, token) << i;
      whole.accept(token);
      tokens.push_back(token);
    }
  }
}

TEST(RowSampler, XtcActsAsOftenAsAsked) {
  Submission submission = submission_of();
  submission.sampling.xtc_probability = 0.3f;
  submission.sampling.xtc_threshold = 0.2f;
  constexpr int kCount = 20000;
  int acted = 0;
  for (int i = 0; i < kCount; ++i) {
    std::vector<float> logits = {1, 1, -5};
    RowSampler sampler(submission);
    const auto left = sampler.choices(logits, i, nullptr);
    if (left.size() == 2) ++acted;
  }
  // Four standard deviations of a binomial.
  EXPECT_NEAR(acted, 0.3 * kCount, 4 * std::sqrt(kCount * 0.3 * 0.7));
}

TEST(RowSampler, MirostatLearnsFromTheSurprise) {
  Submission submission = submission_of();
  submission.sampling.mirostat = 2;
  submission.sampling.mirostat_tau = 3;
  submission.sampling.mirostat_eta = 0.2f;
  RowSampler sampler(submission);
  EXPECT_EQ(sampler.mirostat_mu(), 6);
  float mu = 6;
  for (int i = 0; i < 20; ++i) {
    const auto logits = random_logits(200, static_cast<unsigned>(i));
    auto copy = logits, again = logits;
    const Token token = sampler.sample(copy, i, nullptr).token;
    double probability = 0;
    for (const auto& choice : sampler.choices(again, i, nullptr))
      if (choice.token == token) probability = choice.probability;
    sampler.accept(token);
    mu -= 0.2f * (static_cast<float>(-std::log2(probability)) - 3);
    ASSERT_NEAR(sampler.mirostat_mu(), mu, rounding_tolerance(kEpsilonF32, 8, 10));
    mu = sampler.mirostat_mu();
  }
}

TEST(RowSampler, SurvivesEveryStrangeOption) {
  const float strange[] = {0, -1, 1e-30f, 1e30f, std::nanf(""), INFINITY, -INFINITY, 0.5f};
  std::mt19937 generator(3);
  const auto any = [&] { return strange[generator() % std::size(strange)]; };
  const auto any_int = [&] { return (static_cast<int>(generator() % 5) - 2) * 1000000000; };
  for (int round = 0; round < 3000; ++round) {
    Submission submission = submission_of({1, 2, -3, 1, 1000000});
    SamplingParams& p = submission.sampling;
    p.temperature = any(), p.top_p = any(), p.min_p = any(), p.typical_p = any();
    p.top_n_sigma = any(), p.xtc_probability = any(), p.xtc_threshold = any();
    p.dynatemp_range = any(), p.dynatemp_exponent = any();
    p.mirostat = round % 3 == 0 ? 2 : 0, p.mirostat_tau = any(), p.mirostat_eta = any();
    p.repetition_penalty = any(), p.presence_penalty = any(), p.frequency_penalty = any();
    p.dry_multiplier = any(), p.dry_base = any(), p.dry_allowed_length = any_int();
    p.top_k = any_int(), p.penalty_last_n = any_int(), p.dry_penalty_last_n = any_int();
    p.logprobs = any_int();
    p.logit_bias = {{any_int(), any()}, {3, any()}};
    RowSampler sampler(submission);
    for (int i = 0; i < 3; ++i) {
      auto logits = random_logits(40, static_cast<unsigned>(round));
      const RowOutput out = sampler.sample(logits, i, nullptr);
      ASSERT_NE(out.sampled, out.error.has_value());
      if (!out.sampled) break;
      ASSERT_GE(out.token, 0);
      ASSERT_LT(out.token, 40);
      sampler.accept(out.token);
    }
  }
}

}  // namespace
}  // namespace pippin::engine
