// SIMD reductions over a whole row of logits, sixteen floats at a time. Every sum has a fixed order
// and exp() is our own, so that all machines and instruction sets give the same bits. Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace pippin::engine::sampling {

inline constexpr size_t kLanes = 16;
/// A row is passed over in chunks of 64 x 16; the last one is padded with -inf.
inline constexpr size_t kChunk = 1024;
inline constexpr float kMasked = -std::numeric_limits<float>::infinity();

/// Returns the number of chunks that cover n values.
constexpr size_t chunks_of(size_t n) { return (n + kChunk - 1) / kChunk; }

/// The maxima of a row. Lane l of chunk c holds the largest of the chunk's values at positions
/// l, l + 16, l + 32, ...; NaNs are passed over and reported.
struct Maxima {
  std::vector<float> lanes;  // [chunks * kLanes]
  float max = kMasked;
  bool nan = false;
};
void find_maxima(std::span<const float> x, Maxima& out);

/// Returns the first position of the largest value. Requires: `maxima` are x's, max > -inf.
size_t argmax(std::span<const float> x, const Maxima& maxima);

/// Adds (value, position) of all values >= threshold to `out` through `add(position)`, in no
/// particular order.
template <typename Add>
void for_each_at_least(std::span<const float> x, const Maxima& maxima, float threshold, Add add) {
  for (size_t group = 0; group < maxima.lanes.size(); ++group) {
    if (!(maxima.lanes[group] >= threshold)) continue;
    const size_t chunk = group / kLanes;
    const size_t end = x.size() < (chunk + 1) * kChunk ? x.size() : (chunk + 1) * kChunk;
    for (size_t i = chunk * kChunk + group % kLanes; i < end; i += kLanes)
      if (x[i] >= threshold) add(i);
  }
}

/// Which part of a row an exponential sum covers, and how: terms are exp((x - max) * scale) for x
/// >= floor.
struct ExpTerms {
  float max = 0;
  float scale = 1;
  float floor = kMasked;
};

/// Returns the sum of the terms. Writes each chunk's part to `chunk_sums` unless it is null.
double exp_sum(std::span<const float> x, ExpTerms terms, std::vector<double>* chunk_sums = nullptr);

/// Returns the sum of term * (x - max) * scale over terms that are not 0: what an entropy needs
/// beside exp_sum.
double weighted_exp_sum(std::span<const float> x, ExpTerms terms);

/// Writes the terms of at most one chunk to `out`. Requires: out.size() >= x.size(), x.size() <=
/// kChunk.
void exp_terms(std::span<const float> x, ExpTerms terms, std::span<float> out);

/// Returns exp(x) for x <= 0 by the same arithmetic as the passes above; 0 below -87.
float exp_of(float x);

/// Mean and standard deviation (of the population) of all values above -inf.
struct Moments {
  size_t count = 0;
  double mean = 0;
  double deviation = 0;
};
Moments find_moments(std::span<const float> x);

/// Sets x[i] to -inf where bit i % 32 of words[i / 32] is 0; values beyond the words are masked
/// too.
void apply_mask(std::span<float> x, std::span<const uint32_t> words);

}  // namespace pippin::engine::sampling
