#include "nn/reference/positions.h"

#include <limits>

#include "mlx/ops.h"
#include "nn/types/kv_type.h"

namespace pippin::nn {
namespace {

mx::array angles(const std::vector<int32_t>& positions, const FloatVector& inv_freq) {
  const mx::array column = mx::reshape(mx::astype(ints(positions), mx::float32),
                                       {static_cast<int>(positions.size()), 1, 1});
  return mx::multiply(column, inv_freq.array());
}

}  // namespace

mx::array ints(const std::vector<int32_t>& values) {
  return mx::array(values.begin(), mx::Shape{static_cast<int>(values.size())}, mx::int32);
}

mx::array seen_slots(const AttentionRow& row, int oldest) {
  std::vector<int32_t> slots;
  for (int p = oldest; p < row.start + row.tokens; ++p)
    slots.push_back(row.blocks[p / kBlockPositions] * kBlockPositions + p % kBlockPositions);
  return ints(slots);
}

mx::array rows_of(const mx::array& x, const AttentionRow& row) {
  return mx::slice(x, mx::Shape{row.row, 0}, mx::Shape{row.row + row.tokens, x.shape(1)});
}

Turns::Turns(const std::vector<int32_t>& positions, const FloatVector& inv_freq, float magnitude)
    : cos(angles(positions, inv_freq)), sin(mx::multiply(mx::sin(cos), mx::array(magnitude))) {
  cos = mx::multiply(mx::cos(cos), mx::array(magnitude));
}

mx::array rotate(const mx::array& x, int dims, bool interleaved, const Turns& turns) {
  const int tokens = x.shape(0), heads = x.shape(1), half = dims / 2;
  const mx::array &cos = turns.cos, &sin = turns.sin;
  const auto part = [&](int from, int to) {
    return mx::slice(x, mx::Shape{0, 0, from}, mx::Shape{tokens, heads, to});
  };
  const mx::array rest = part(dims, x.shape(2));
  if (interleaved) {
    const mx::array pairs = mx::reshape(part(0, dims), {tokens, heads, half, 2});
    const mx::array a = mx::take(pairs, 0, 3), b = mx::take(pairs, 1, 3);
    const mx::array turned = mx::stack({mx::subtract(mx::multiply(a, cos), mx::multiply(b, sin)),
                                        mx::add(mx::multiply(a, sin), mx::multiply(b, cos))},
                                       3);
    return mx::concatenate({mx::reshape(turned, {tokens, heads, dims}), rest}, 2);
  }
  const mx::array a = part(0, half), b = part(half, dims);
  return mx::concatenate({mx::subtract(mx::multiply(a, cos), mx::multiply(b, sin)),
                          mx::add(mx::multiply(a, sin), mx::multiply(b, cos)), rest},
                         2);
}

mx::array causal_mask(int start, int tokens, int oldest, int window, int chunk) {
  const int end = start + tokens;
  const mx::array q = mx::reshape(mx::arange(start, end, mx::int32), {tokens, 1});
  const mx::array k = mx::reshape(mx::arange(oldest, end, mx::int32), {1, end - oldest});
  mx::array seen = mx::less_equal(k, q);
  if (window > 0) seen = mx::logical_and(seen, mx::greater(k, mx::subtract(q, mx::array(window))));
  if (chunk > 0) {
    const mx::array size(chunk);
    const mx::array first = mx::multiply(mx::floor_divide(q, size), size);
    seen = mx::logical_and(seen, mx::greater_equal(k, first));
  }
  return mx::where(seen, mx::array(0.0f), mx::array(-std::numeric_limits<float>::infinity()));
}

}  // namespace pippin::nn
