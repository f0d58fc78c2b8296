// Cuts over whole vocabularies, compared with their definitions in double precision over a sorted
// copy, and draws with chi-square.
#include "engine/exec/sampling/distribution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <random>

#include "engine/exec/sampling/philox.h"
#include "tolerance.h"

namespace pippin::engine::sampling {
namespace {

using namespace pippin::test;

struct Row {
  std::vector<float> logits;
  Maxima maxima;

  explicit Row(std::vector<float> values) : logits(std::move(values)) {
    find_maxima(logits, maxima);
  }
  Distribution distribution() { return Distribution(logits, maxima); }
};

std::vector<float> random_row(size_t n, unsigned seed, float sigma, bool ties = false) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> row(n);
  for (float& x : row) x = ties ? std::round(normal(generator)) : normal(generator);
  for (size_t i = 0; i + 1 < n; i += 11) row[i] = kMasked;
  return row;
}

/// The reference: (logit, token) of the tokens left, most probable first, in double precision.
using Sorted = std::vector<std::pair<double, Token>>;

Sorted sorted(const std::vector<float>& logits) {
  Sorted all;
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > kMasked) all.emplace_back(logits[i], static_cast<Token>(i));
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  return all;
}

std::vector<double> probabilities(const Sorted& left, double temperature = 1) {
  std::vector<double> p;
  for (const auto& [logit, token] : left)
    p.push_back(std::exp((logit - left[0].first) / temperature));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& one : p) one /= sum;
  return p;
}

Sorted top_p(Sorted left, double target) {
  const auto p = probabilities(left);
  double mass = 0;
  size_t n = 0;
  while (n < left.size() && mass < target) mass += p[n++];
  left.resize(std::max<size_t>(n, 1));
  return left;
}

Sorted typical(const Sorted& left, double target) {
  const auto p = probabilities(left);
  double entropy = 0;
  for (const double one : p) entropy -= one > 0 ? one * std::log(one) : 0;
  std::vector<size_t> order(left.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::fabs(-std::log(p[a]) - entropy) < std::fabs(-std::log(p[b]) - entropy);
  });
  double mass = 0;
  std::vector<size_t> kept;
  for (const size_t i : order) {
    kept.push_back(i);
    if ((mass += p[i]) >= target) break;
  }
  std::sort(kept.begin(), kept.end());
  Sorted out;
  for (const size_t i : kept) out.push_back(left[i]);
  return out;
}

/// Compares what is left. `slack` tokens may differ at the edge, where f32 sums decide. Each that
/// does changes what the others are divided by.
void expect_equal(const Distribution& got, const Sorted& expected, double temperature = 1,
                  size_t slack = 0) {
  const auto choices = got.choices();
  const size_t common = std::min(choices.size(), expected.size());
  ASSERT_LE(std::max(choices.size(), expected.size()) - common, slack)
      << choices.size() << " tokens left, " << expected.size() << " expected";
  const auto p = probabilities(expected, temperature);
  const auto others = static_cast<double>(std::max(choices.size(), expected.size()) - common);
  double total = 0;
  for (size_t i = 0; i < common; ++i) {
    if (slack == 0) {
      ASSERT_EQ(choices[i].token, expected[i].second) << i;
    }
    ASSERT_NEAR(choices[i].probability, p[i],
                softmax_tolerance(kEpsilonF32, p[i], kChunk) + others * p[i] * p.back())
        << i;
  }
  for (const auto& choice : choices) total += choice.probability;
  EXPECT_NEAR(total, 1, softmax_tolerance(kEpsilonF32, 1, kChunk));
}

struct Shape {
  size_t vocabulary;
  float sigma;
  bool ties;
};
const Shape kShapes[] = {{1, 1, false},        {7, 1, false},      {300, 3, true},
                         {3000, 0.01f, false}, {3000, 4, false},   {5000, 2, true},
                         {49152, 2, false},    {151936, 3, false}, {151936, 1, true},
                         {151936, 0.2f, false}};

template <typename Check>
void over_shapes(Check check) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message()
                 << shape.vocabulary << " tokens, sigma " << shape.sigma << " ties " << shape.ties);
    const auto logits = random_row(shape.vocabulary, static_cast<unsigned>(shape.vocabulary),
                                   shape.sigma, shape.ties);
    check(logits);
  }
}

TEST(Distribution, Nothing) {
  over_shapes([](const std::vector<float>& logits) {
    Row row(logits);
    expect_equal(row.distribution(), sorted(logits));
  });
}

TEST(Distribution, TopK) {
  over_shapes([](const std::vector<float>& logits) {
    for (const size_t k : {1UL, 2UL, 40UL, 300UL, 2999UL, 60000UL}) {
      Row row(logits);
      Distribution got = row.distribution();
      got.keep_top_k(k);
      Sorted expected = sorted(logits);
      if (k < expected.size()) expected.resize(k);
      expect_equal(got, expected);
    }
  });
}

TEST(Distribution, TopP) {
  over_shapes([](const std::vector<float>& logits) {
    for (const float p : {0.0f, 0.01f, 0.3f, 0.9f, 0.999f}) {
      Row row(logits);
      Distribution got = row.distribution();
      got.keep_top_p(p);
      expect_equal(got, top_p(sorted(logits), p), 1, 2);
    }
  });
}

TEST(Distribution, TopPAfterTopKIsRenormalised) {
  Row row({std::log(0.4f), std::log(0.3f), std::log(0.2f), std::log(0.1f)});
  Distribution got = row.distribution();
  got.keep_top_k(2);  // 4/7, 3/7
  got.keep_top_p(0.5f);
  ASSERT_EQ(got.choices().size(), 1U);
  Distribution alone = row.distribution();
  alone.keep_top_p(0.5f);
  EXPECT_EQ(alone.choices().size(), 2U);
}

TEST(Distribution, MinP) {
  over_shapes([](const std::vector<float>& logits) {
    for (const float p : {0.0001f, 0.05f, 0.5f, 1.0f}) {
      Sorted expected = sorted(logits);
      std::erase_if(expected, [p, best = expected[0].first](const auto& one) {
        return std::exp(one.first - best) < p * (1 - 1e-7);
      });
      for (const size_t k : {0UL, 1000UL}) {
        Row row(logits);
        Distribution got = row.distribution();
        if (k > 0) got.keep_top_k(k);
        got.keep_min_p(p);
        Sorted left = expected;
        if (k > 0 && left.size() > k) left.resize(k);
        expect_equal(got, left);
      }
    }
  });
}

TEST(Distribution, Typical) {
  over_shapes([](const std::vector<float>& logits) {
    if (logits.size() > 60000) return;
    for (const float p : {0.1f, 0.5f, 0.95f}) {
      Row row(logits);
      Distribution got = row.distribution();
      got.keep_typical(p);
      expect_equal(got, typical(sorted(logits), p), 1, logits.size() / 100);
    }
  });
}

TEST(Distribution, TopNSigma) {
  over_shapes([](const std::vector<float>& logits) {
    for (const float n : {0.5f, 1.0f, 3.0f}) {
      Row row(logits);
      Distribution got = row.distribution();
      got.keep_top_n_sigma(n);
      Sorted expected = sorted(logits);
      double mean = 0, square = 0;
      for (const auto& one : expected) mean += one.first / static_cast<double>(expected.size());
      for (const auto& one : expected) square += (one.first - mean) * (one.first - mean);
      const double edge =
          expected[0].first - n * std::sqrt(square / static_cast<double>(expected.size()));
      std::erase_if(expected, [edge](const auto& one) { return one.first < edge - 1e-6; });
      expect_equal(got, expected, 1, 1);
    }
  });
}

TEST(Distribution, XtcKeepsTheLeastOfTheTop) {
  // 0.4, 0.3, 0.2, 0.1: above 0.15 are three, of which the third stays.
  for (const bool as_list : {false, true}) {
    Row row({std::log(0.3f), std::log(0.4f), std::log(0.1f), std::log(0.2f)});
    Distribution got = row.distribution();
    if (as_list) got.keep_top_p(0.9999f);
    got.exclude_top_choices(0.15f);
    const auto left = got.choices();
    ASSERT_EQ(left.size(), 2U);
    EXPECT_EQ(left[0].token, 3);
    EXPECT_NEAR(left[0].probability, 2.0 / 3, softmax_tolerance(kEpsilonF32, 2.0 / 3, 4));
    EXPECT_EQ(left[1].token, 2);
    Row other(std::vector<float>{std::log(0.3f), std::log(0.4f), std::log(0.1f), std::log(0.2f)});
    Distribution lone = other.distribution();
    lone.exclude_top_choices(0.35f);  // only one is above: nothing happens
    EXPECT_EQ(lone.choices().size(), 4U);
  }
}

TEST(Distribution, DynamicTemperatureFollowsTheEntropy) {
  const auto ratio = [](Distribution& d) {
    const auto c = d.choices();
    return std::log(c.front().probability / c.back().probability);
  };
  Row flat({1, 1, 1, 0.999999f});
  Distribution high = flat.distribution();
  high.set_dynamic_temperature(1, 0.5f, 1);  // all the entropy there can be: 1.5
  EXPECT_NEAR(ratio(high), 0.000001 / 1.5, rounding_tolerance(kEpsilonF32, 2, 1));
  Row peaked({30, 0, 0, 29});
  Distribution middle = peaked.distribution();
  middle.set_dynamic_temperature(1, 0.5f, 1);
  const double p = 1 / (1 + std::exp(-1.0)), entropy = -p * std::log(p) - (1 - p) * std::log(1 - p);
  const double temperature = 0.5 + entropy / std::log(4.0);
  const auto c = middle.choices();
  EXPECT_NEAR(std::log(c[0].probability / c[1].probability), 1 / temperature,
              rounding_tolerance(kEpsilonF32, 16, 1 / temperature));
}

TEST(Distribution, MirostatCutsBySurprise) {
  Row row({std::log(0.5f), std::log(0.25f), std::log(0.15f), std::log(0.1f)});
  for (const auto& [mu, left] :
       {std::pair{0.5f, 1U}, {1.5f, 1U}, {2.1f, 2U}, {2.9f, 3U}, {5.0f, 4U}, {-3.0f, 1U}}) {
    Distribution got = row.distribution();
    got.keep_surprise_at_most(mu);
    EXPECT_EQ(got.choices().size(), left) << mu;
  }
}

/// Draws 8,000 times and compares with the probabilities that choices() claims and with the
/// definition's.
void expect_draws(Row& row, const std::function<void(Distribution&)>& cut, uint64_t seed) {
  Distribution distribution = row.distribution();
  cut(distribution);
  constexpr uint32_t kDraws = 8000;
  std::map<Token, double> counts;
  for (uint32_t i = 0; i < kDraws; ++i)
    ++counts[distribution.draw(uniform(seed, i, Draw::kToken)).token];
  double chi = 0, rest_expected = 0, rest_seen = kDraws;
  int bins = 0;
  for (const auto& choice : distribution.choices()) {
    const double expected = choice.probability * kDraws;
    if (expected < 20) {
      rest_expected += expected;
      continue;
    }
    const double seen = counts[choice.token];
    chi += (seen - expected) * (seen - expected) / expected;
    rest_seen -= seen;
    ++bins;
  }
  if (rest_expected > 20) {
    chi += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
    ++bins;
  } else {
    EXPECT_LE(rest_seen, 60);
  }
  // Wilson and Hilferty's bound of chi-square at p = 0.0005.
  const double degrees = std::max(bins - 1, 1), z = 3.29;
  const double bound =
      degrees * std::pow(1 - 2 / (9 * degrees) + z * std::sqrt(2 / (9 * degrees)), 3);
  EXPECT_LT(chi, bound) << bins << " bins";
}

TEST(Distribution, DrawsFollowTheProbabilities) {
  for (const size_t n : {1UL, 2UL, 50UL, 2500UL}) {
    for (const float sigma : {0.1f, 2.0f}) {
      SCOPED_TRACE(testing::Message() << n << " " << sigma);
      Row row(random_row(n, 17, sigma));
      expect_draws(
          row, [](Distribution&) {}, 1);
      expect_draws(
          row, [](Distribution& d) { d.set_temperature(0.5f); }, 2);
      expect_draws(
          row, [](Distribution& d) { d.keep_top_k(20); }, 3);
      expect_draws(
          row, [](Distribution& d) { d.keep_top_p(0.8f), d.set_temperature(1.4f); }, 4);
      expect_draws(
          row, [](Distribution& d) { d.keep_min_p(0.2f); }, 5);
    }
  }
}

TEST(Distribution, TheEndsOfTheUnitIntervalAreDrawn) {
  for (const size_t n : {5UL, 2500UL}) {
    Row row(random_row(n, 23, 1));
    for (const bool list : {false, true}) {
      Distribution d = row.distribution();
      if (list) d.keep_top_k(4);
      for (const double u : {0.0, 0x1.fffffffffffffp-1}) {
        const auto choice = d.draw(u);
        EXPECT_GT(choice.probability, 0);
        EXPECT_GT(row.logits[static_cast<size_t>(choice.token)], kMasked);
      }
    }
  }
}

TEST(Distribution, LargestFindsThemAll) {
  over_shapes([](const std::vector<float>& logits) {
    Row row(logits);
    const Sorted expected = sorted(logits);
    for (const size_t n : {0UL, 1UL, 20UL, 2000UL}) {
      const auto got = largest(row.logits, row.maxima, n);
      ASSERT_EQ(got.size(), std::min(n, expected.size()));
      for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i].token, expected[i].second);
    }
  });
}

}  // namespace
}  // namespace pippin::engine::sampling
