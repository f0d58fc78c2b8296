// The activation quantiser over the vector vocabulary of a simd_*.h file.
// Included inside an unnamed namespace by one .cpp file per instruction set; hence no includes
// here.

/// Rounds 32 activations to codes in [-127, 127] of their largest magnitude.
template <bool kPowerOfTwo>
inline void quantize_group(const float* x, ActGroup& out) {
  const F low = f_load(x);
  const F high = f_load(x + 16);
  const float peak = f_reduce_max(f_max(f_abs(low), f_abs(high)));
  const bool some = peak > kPeakLeast;
  const GroupScale scale = group_scale<kPowerOfTwo>(peak, some);
  const F inverse = f_set1(scale.inverse);
  const I q_low = i_round(f_mul(low, inverse));
  const I q_high = i_round(f_mul(high, inverse));
  const int32_t sum_low = i_reduce_add(q_low);
  const int32_t sum_high = i_reduce_add(q_high);
  i_store_s8(out.q, q_low);
  i_store_s8(out.q + 16, q_high);
  out.scale = scale.scale;
  out.sum = out.scale * static_cast<float>(sum_low + sum_high);
  out.negative_sum = -(sum_low + sum_high);
  out.negative_half[0] = -sum_low * (1 << kHalfShift);
  out.negative_half[1] = -sum_high * (1 << kHalfShift);
  out.origin = 12582912.0f * out.scale;
  out.pair_sums = 0;
  out.pair_scale = 0;
}
