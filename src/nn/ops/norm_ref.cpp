#include "mlx/ops.h"
#include "nn/ops/norm.h"

namespace pippin::nn {

mx::array rms_norm_ref(const Context& ctx, const NormWeight& weight, const mx::array& x) {
  const mx::array wide = mx::astype(x, mx::float32);
  const mx::array scale =
      mx::rsqrt(mx::add(mx::mean(mx::square(wide), -1, true), mx::array(weight.eps)));
  return mx::astype(mx::multiply(mx::multiply(wide, scale), weight.values.array()), ctx.dtype);
}

}  // namespace pippin::nn
