#include "engine/exec/sampling/simd_reductions.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

// One copy of each pass per x86-64 level, chosen at load. The resolvers run before a sanitizer's
// runtime is up, so sanitized builds have the plain copy only. The bits are the same in every copy:
// no multiply-add is fused.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PIPPIN_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define PIPPIN_CLONES
#endif
#define PIPPIN_INLINE inline __attribute__((always_inline))
#define PIPPIN_FLATTEN __attribute__((always_inline))

namespace pippin::engine::sampling {
namespace {

constexpr size_t kRows = kChunk / kLanes;

/// Sixteen values for sums and maxima that run over rows. Loops over single floats are left to the
/// compiler's vectoriser, which does better with them, but not with these.
typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t Ints __attribute__((vector_size(kLanes * sizeof(int32_t))));

PIPPIN_INLINE void load(const float* from, Floats& to) { std::memcpy(&to, from, sizeof(to)); }

/// Calls body(values, chunk) for each chunk; the last one is a padded copy.
template <typename Body>
PIPPIN_INLINE void for_each_chunk(std::span<const float> x, Body body) {
  const size_t whole = x.size() / kChunk;
  for (size_t chunk = 0; chunk < whole; ++chunk) body(x.data() + chunk * kChunk, chunk);
  const size_t rest = x.size() % kChunk;
  if (rest == 0) return;
  alignas(64) float padded[kChunk];
  std::copy_n(x.data() + whole * kChunk, rest, padded);
  std::fill(padded + rest, padded + kChunk, kMasked);
  body(padded, whole);
}

/// Sums a chunk: down the rows, then the sixteen sums in a fixed tree.
PIPPIN_INLINE float sum_chunk(const float* values) {
  Floats sums = {};
  for (size_t row = 0; row < kRows; ++row) {
    Floats v;
    load(values + row * kLanes, v);
    sums += v;
  }
  float parts[kLanes];
  std::memcpy(parts, &sums, sizeof(parts));
  for (size_t half = kLanes / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; ++i) parts[i] += parts[i + half];
  return parts[0];
}

/// exp(x) for x <= 0, 0 below -87, to about 1 ulp.
/// Source: Cody and Waite's reduction x = n ln 2 + r; a minimax polynomial of degree 6 for exp(r),
/// |r| <= ln(2) / 2.
PIPPIN_INLINE float exp_lane(float given) {
  const float x = given < -87.0f ? -87.0f : given;
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = x * 1.44269504f + kMagic;
  const float n = shifted - kMagic;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) - 0x4B400000U + 127U) << 23;
  const float value = p * std::bit_cast<float>(exponent);
  return given < -87.0f ? 0.0f : value;
}

PIPPIN_INLINE float term_lane(float x, const ExpTerms& terms) {
  const float value = exp_lane((x - terms.max) * terms.scale);
  return x < terms.floor ? 0.0f : value;
}

}  // namespace

PIPPIN_CLONES void find_maxima(std::span<const float> x, Maxima& out) {
  out.lanes.resize(chunks_of(x.size()) * kLanes);
  float* lanes_out = out.lanes.data();
  Ints nans = {};
  for_each_chunk(x, [&](const float* values, size_t chunk) PIPPIN_FLATTEN {
    Floats max = kMasked - Floats{};
    for (size_t row = 0; row < kRows; ++row) {
      Floats v;
      load(values + row * kLanes, v);
      nans |= v != v;
      max = v > max ? v : max;
    }
    std::memcpy(lanes_out + chunk * kLanes, &max, sizeof(max));
  });
  out.max = kMasked;
  for (const float lane : out.lanes) out.max = std::max(out.max, lane);
  out.nan = false;
  for (size_t lane = 0; lane < kLanes; ++lane) out.nan |= nans[lane] != 0;
}

size_t argmax(std::span<const float> x, const Maxima& maxima) {
  const auto group = static_cast<size_t>(
      std::find(maxima.lanes.begin(), maxima.lanes.end(), maxima.max) - maxima.lanes.begin());
  const auto first = x.begin() + static_cast<std::ptrdiff_t>(group / kLanes * kChunk);
  return static_cast<size_t>(std::find(first, x.end(), maxima.max) - x.begin());
}

PIPPIN_CLONES double exp_sum(std::span<const float> x, ExpTerms terms,
                             std::vector<double>* chunk_sums) {
  if (chunk_sums != nullptr) chunk_sums->resize(chunks_of(x.size()));
  double total = 0;
  for_each_chunk(x, [&, terms](const float* values, size_t chunk) PIPPIN_FLATTEN {
    alignas(64) float results[kChunk];
    for (size_t i = 0; i < kChunk; ++i) results[i] = term_lane(values[i], terms);
    const double part = sum_chunk(results);
    if (chunk_sums != nullptr) (*chunk_sums)[chunk] = part;
    total += part;
  });
  return total;
}

PIPPIN_CLONES double weighted_exp_sum(std::span<const float> x, ExpTerms terms) {
  double total = 0;
  for_each_chunk(x, [&, terms](const float* values, size_t) PIPPIN_FLATTEN {
    alignas(64) float results[kChunk];
    for (size_t i = 0; i < kChunk; ++i) {
      const float term = term_lane(values[i], terms);
      const float weighted = term * ((values[i] - terms.max) * terms.scale);
      results[i] = term > 0 ? weighted : 0.0f;
    }
    total += sum_chunk(results);
  });
  return total;
}

PIPPIN_CLONES void exp_terms(std::span<const float> x, ExpTerms terms, std::span<float> out) {
  for (size_t i = 0; i < x.size(); ++i) out[i] = term_lane(x[i], terms);
}

float exp_of(float x) { return exp_lane(x); }

namespace {

PIPPIN_CLONES double sum_unmasked(std::span<const float> x, size_t& count) {
  double total = 0;
  uint32_t masked = 0;
  for_each_chunk(x, [&](const float* values, size_t) PIPPIN_FLATTEN {
    alignas(64) float results[kChunk];
    for (size_t i = 0; i < kChunk; ++i) results[i] = values[i] == kMasked ? 0.0f : values[i];
    for (size_t i = 0; i < kChunk; ++i) masked += values[i] == kMasked ? 1U : 0U;
    total += sum_chunk(results);
  });
  count = chunks_of(x.size()) * kChunk - masked;
  return total;
}

PIPPIN_CLONES double sum_squares(std::span<const float> x, float mean) {
  double total = 0;
  for_each_chunk(x, [&](const float* values, size_t) PIPPIN_FLATTEN {
    alignas(64) float results[kChunk];
    for (size_t i = 0; i < kChunk; ++i) {
      const float off = values[i] - mean;
      results[i] = values[i] == kMasked ? 0.0f : off * off;
    }
    total += sum_chunk(results);
  });
  return total;
}

}  // namespace

Moments find_moments(std::span<const float> x) {
  Moments moments;
  const double sum = sum_unmasked(x, moments.count);
  if (moments.count == 0) return moments;
  const auto count = static_cast<double>(moments.count);
  moments.mean = sum / count;
  // Around the rounded mean m the squares are too large by (mean - m)^2 each.
  const auto rounded = static_cast<float>(moments.mean);
  const double bias = (moments.mean - rounded) * (moments.mean - rounded);
  moments.deviation = std::sqrt(std::max(0.0, sum_squares(x, rounded) / count - bias));
  return moments;
}

PIPPIN_CLONES void apply_mask(std::span<float> x, std::span<const uint32_t> words) {
  const size_t covered = std::min(x.size() / 32, words.size());
  for (size_t w = 0; w < covered; ++w) {
    if (words[w] == ~0U) continue;
    float* values = x.data() + w * 32;
    for (uint32_t bit = 0; bit < 32; ++bit)
      values[bit] = (words[w] >> bit & 1U) != 0 ? values[bit] : kMasked;
  }
  for (size_t i = covered * 32; i < x.size(); ++i)
    if (i / 32 >= words.size() || (words[i / 32] >> (i % 32) & 1U) == 0) x[i] = kMasked;
}

}  // namespace pippin::engine::sampling
