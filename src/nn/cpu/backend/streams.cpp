// CpuBackend: several residual streams side by side. Each row is computed alone, its sums in order.
#include <algorithm>
#include <cmath>

#include "nn/cpu/backend/cpu_backend.h"
#include "nn/types/streams.h"

namespace pippin::nn {
namespace {

float mean_square(const float* row, size_t width) {
  float sum = 0;
  for (size_t i = 0; i < width; ++i) sum += row[i] * row[i];
  return sum / static_cast<float>(width);
}

}  // namespace

mx::array CpuBackend::mix_streams(const mx::array& x, int streams, const mx::array& weights) {
  const mx::array input = host_ready(x), by = host_ready(weights);
  const int out = by.shape(1) / streams;
  const auto width = static_cast<size_t>(input.shape(1) / streams);
  mx::array y = allocate({input.shape(0), out * static_cast<int>(width)});
  threads_.run(input.shape(0), [&](int t, int) {
    const float* row = input.data<float>() + static_cast<size_t>(t * streams) * width;
    const float* factors = by.data<float>() + static_cast<size_t>(t * by.shape(1));
    float* to = y.data<float>() + static_cast<size_t>(t * out) * width;
    std::fill_n(to, static_cast<size_t>(out) * width, 0.0f);
    for (int i = 0; i < out; ++i, to += width) {
      for (int j = 0; j < streams; ++j) {
        const float factor = factors[i * streams + j];
        const float* from = row + static_cast<size_t>(j) * width;
        for (size_t e = 0; e < width; ++e) to[e] += from[e] * factor;
      }
    }
  });
  return y;
}

mx::array CpuBackend::match_magnitude(const mx::array& x, const mx::array& like) {
  const mx::array input = host_ready(x), model = host_ready(like);
  mx::array y = allocate(input.shape());
  const auto width = static_cast<size_t>(input.shape(1));
  threads_.run(input.shape(0), [&](int t, int) {
    const size_t at = static_cast<size_t>(t) * width;
    const float* row = input.data<float>() + at;
    const float have = std::sqrt(std::max(mean_square(row, width), kMeanSquareLeast));
    const float factor = std::sqrt(mean_square(model.data<float>() + at, width)) / have;
    for (size_t i = 0; i < width; ++i) y.data<float>()[at + i] = row[i] * factor;
  });
  return y;
}

mx::array CpuBackend::above_mean(const mx::array& x, float deviations) {
  const mx::array input = host_ready(x);
  mx::array y = allocate(input.shape());
  const auto width = static_cast<size_t>(input.shape(1));
  threads_.run(input.shape(0), [&](int t, int) {
    const size_t at = static_cast<size_t>(t) * width;
    const float* row = input.data<float>() + at;
    float *to = y.data<float>() + at, sum = 0;
    for (size_t i = 0; i < width; ++i) sum += row[i];
    const float mean = sum / static_cast<float>(width);
    for (size_t i = 0; i < width; ++i) to[i] = row[i] - mean;
    const float least = deviations * std::sqrt(mean_square(to, width));
    for (size_t i = 0; i < width; ++i) to[i] = std::max(to[i] - least, 0.0f);
  });
  return y;
}

mx::array CpuBackend::scale_columns(const mx::array& x, const FloatVector& factors) {
  const mx::array input = host_ready(x);
  mx::array y = allocate(input.shape());
  const size_t width = factors.size();
  for (size_t i = 0; i < input.size(); ++i)
    y.data<float>()[i] = input.data<float>()[i] * factors.data()[i % width];
  return y;
}

}  // namespace pippin::nn
