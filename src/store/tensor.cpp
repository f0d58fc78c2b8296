#include "store/tensor.h"

#include "base/check.h"
#include "store/unpack.h"

namespace pippin::store {

size_t TensorView::stored_bytes() const {
  const size_t apart = packed == nullptr ? 0 : packed->scales.size() + packed->zeros.size();
  return bytes.size() + mlx.scales.size() + mlx.biases.size() + apart;
}

TensorView TensorView::slice(int64_t first, int64_t count) const {
  CHECK(packed == nullptr || packed->scales.empty(), "rows do not follow each other");
  CHECK(!shape.empty() && first >= 0 && count > 0 && first + count <= shape[0]);
  TensorView part = *this;
  part.shape[0] = count;
  const auto cut = [&](std::span<const std::byte>& all) {
    const size_t each = all.size() / static_cast<size_t>(shape[0]);
    all = all.subspan(static_cast<size_t>(first) * each, static_cast<size_t>(count) * each);
  };
  cut(part.bytes);
  cut(part.mlx.scales);
  cut(part.mlx.biases);
  return part;
}

}  // namespace pippin::store
