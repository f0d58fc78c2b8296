// Comparison of arrays, and what tolerances want to know of them.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "nn/backend/attention_spec.h"
#include "nn/backend/float_vector.h"
#include "nn/types/kv_type.h"
#include "tolerance.h"

namespace pippin::nn::test {

/// Returns an array's f32 values.
inline std::vector<float> values_of(const mx::array& a) {
  const mx::array host = host_ready(a);
  return {host.data<float>(), host.data<float>() + host.size()};
}

/// Returns the largest norm of rows of `width` values.
inline double row_norm(const std::vector<float>& values, size_t width) {
  double largest = 0;
  for (size_t at = 0; at < values.size(); at += width)
    largest = std::max(largest, pippin::test::norm_of(std::span(values).subspan(at, width)));
  return largest;
}
inline double row_norm(const mx::array& a) {
  return row_norm(values_of(a), static_cast<size_t>(a.shape(-1)));
}

inline void expect_near(const mx::array& got, const mx::array& want, double tolerance) {
  ASSERT_EQ(got.shape(), want.shape());
  const std::vector<float> a = values_of(got), b = values_of(want);
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << "element " << i;
}

/// Of heads that are normed and rotated in f32.
inline double rope_tolerance(const AttentionSpec& spec, double head_norm) {
  using namespace pippin::test;
  return rms_norm_tolerance(kEpsilonF32, spec.head_dim, head_norm) +
         rounding_tolerance(kEpsilonF32, 8, head_norm);
}

/// Of attention of one spread, 1, whose keys and values are rounded as they are stored: by a share
/// `epsilon` of them, or to int8, as their queries are. `largest`: of all.
inline double attention_tolerance(const AttentionSpec& spec, double epsilon, double largest,
                                  KvType type = KvType::kF16) {
  using namespace pippin::test;
  const bool coded = type == KvType::kInt8;
  const double each = coded ? half_step(largest) : epsilon, worst = coded ? each : each * largest;
  const double scores =
      std::sqrt(2.0) * code_tolerance(each, std::sqrt(spec.head_dim) * spec.scale);
  return std::hypot(average_tolerance(scores, 1), worst);
}

}  // namespace pippin::nn::test
