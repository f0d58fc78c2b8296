// The activation quantiser over the vector vocabulary of a simd_*-inl.h file.
// Included inside an unnamed namespace by one .cpp file per instruction set; hence no includes
// here.

struct GroupScale {
  float scale;    // x ~ scale * code
  float inverse;  // of the scale; 0 of a group of zeros
};

/// The scale of a group whose largest magnitude is `amax`. A power of two is up to twice what the
/// codes need. Products with it are exact, so it can be applied wherever that is cheapest.
template <bool kPowerOfTwo>
inline GroupScale group_scale(float amax) {
  if (!(amax > kAmaxMin)) return {0, 0};
  float scale = amax / static_cast<float>(kPowerOfTwo ? kBlockCodeMax : kCodeMax);
  if constexpr (kPowerOfTwo) {
    if (!(scale < kPowerMax)) scale = kPowerMax;
    uint32_t bits;
    __builtin_memcpy(&bits, &scale, 4);
    bits = (bits + 0x7fffff) & 0xff800000;  // the next power of two
    __builtin_memcpy(&scale, &bits, 4);
  }
  return {scale, 1.0f / scale};
}

/// The initial accumulator of a Winograd inner product of columns with those kApart further on: the
/// products of the activations' codes alone, negated.
template <int kColumns, int kApart, int kUnsigned, int kSigned>
inline int32_t winograd_start(const int8_t* q) {
  int32_t sum = 0;
  for (int i = 0; i < kColumns; ++i)
    sum += (q[i] - kSigned) * (q[kApart + i] + kUnsigned) + kSigned * kUnsigned;
  return -sum;
}

struct QuantizedGroup {
  float scale;
  float sum;  // scale * sum of codes
};

/// Rounds 32 activations to codes. The largest is at most kCodeMax, or kBlockCodeMax.
template <bool kPowerOfTwo>
inline QuantizedGroup quantize_group(const float* x, ActGroup& out) {
  const F low = f_load(x);
  const F high = f_load(x + 16);
  const GroupScale scale = group_scale<kPowerOfTwo>(f_reduce_max(f_max(f_abs(low), f_abs(high))));
  const F inverse = f_set1(scale.inverse);
  const I q_low = i_round(f_mul(low, inverse));
  const I q_high = i_round(f_mul(high, inverse));
  const int32_t sum_low = i_reduce_add(q_low);
  const int32_t sum_high = i_reduce_add(q_high);
  i_store_s8(out.q, q_low);
  i_store_s8(out.q + 16, q_high);
  const float sum = scale.scale * static_cast<float>(sum_low + sum_high);
  if constexpr (kPowerOfTwo) {
    out.origin = 12582912.0f * scale.scale;
    out.sum = 0;
    out.negative[0] = -sum_low;
    out.negative[1] = -sum_high;
  } else {
    out.scale = scale.scale;
    out.sum = sum;
    out.negative[0] = -(sum_low + sum_high);
    out.negative[1] = 0;
  }
  return {scale.scale, sum};
}

/// Writes the sums of a block's groups, two by two, in units of half the largest scale. They take
/// at most 13 bits: with 6-bit minimums, all eight add up within the 22 bits of scaled sums.
inline void write_sums(const QuantizedGroup* groups, BlockSums& out) {
  float largest = 0;
  for (int g = 0; g < kSuperGroups; ++g)
    largest = groups[g].scale > largest ? groups[g].scale : largest;
  const float inverse = largest > 0 ? 2.0f / largest : 0.0f;
  const auto units = [&](int g) {
    return static_cast<int32_t>(__builtin_rintf(groups[g].sum * inverse));
  };
  for (int p = 0; p < kSuperGroups / 2; ++p)
    out.pairs[p] = (units(2 * p) & 0xffff) | units(2 * p + 1) * 65536;
  out.scale = largest / 2;
}

/// Quantises up to eight groups. With power-of-two scales they are a block, or the last part of
/// one.
template <bool kPowerOfTwo>
inline void quantize_groups(const float* x, int count, ActGroup* out, BlockSums* sums,
                            int64_t stride) {
  QuantizedGroup groups[kSuperGroups] = {};
  for (int g = 0; g < count; ++g)
    groups[g] = quantize_group<kPowerOfTwo>(x + kGroup * g, out[g * stride]);
  if constexpr (kPowerOfTwo) write_sums(groups, *sums);
}

/// Rounds 32 activations to codes.
inline void round_group(const float* x, F inverse, int8_t* q) {
  i_store_s8(q, i_round(f_mul(f_load(x), inverse)));
  i_store_s8(q + 16, i_round(f_mul(f_load(x + 16), inverse)));
}

/// Interleaves kCount codes of each: four of the first, four of the second, and so on.
template <int kCount>
inline void interleave(const int8_t* first, const int8_t* second, int8_t* out) {
  for (int i = 0; i < kCount; i += 4, out += 8) {
    __builtin_memcpy(out, first + i, 4);
    __builtin_memcpy(out + 4, second + i, 4);
  }
}

/// Quantises a block of 256 with one scale, so that no code is beyond kBlockCodeMax, nor the sum
/// of a group's magnitudes beyond kGroupMagnitudesMax.
inline void quantize_block(const float* x, ActGroupPair* out, BlockSums& sums, int64_t stride) {
  F maxima = f_zero();
  for (int i = 0; i < kGroup * kSuperGroups; i += 16) maxima = f_max(maxima, f_abs(f_load(x + i)));
  const float amax = f_reduce_max(maxima);
  float scale = amax > kAmaxMin ? amax / static_cast<float>(kBlockCodeMax) : 0.0f;
  int8_t q[kSuperGroups][kGroup];
  int32_t sum[kSuperGroups];
  const auto round = [&] {  // returns the largest sum of magnitudes
    const F inverse = f_set1(scale > 0 ? 1.0f / scale : 0.0f);
    int32_t most = 0;
    for (int g = 0; g < kSuperGroups; ++g) {
      round_group(x + kGroup * g, inverse, q[g]);
      sum[g] = 0;
      int32_t magnitudes = 0;
      for (const int8_t code : q[g]) {
        sum[g] += code;
        magnitudes += code < 0 ? -code : code;
      }
      most = magnitudes > most ? magnitudes : most;
    }
    return most;
  };
  if (const int32_t most = round(); most > kGroupMagnitudesMax) {
    scale *= group_stretch(most);
    round();
  }
  constexpr auto start = winograd_start<kWinogradColumns, 16, kUnsignedOffset, kSignedOffset>;
  for (int p = 0; p < kSuperGroups / 2; ++p, out += stride) {
    interleave<kGroup>(q[2 * p], q[2 * p + 1], out->q);
    out->winograd_start[0] = start(q[2 * p]);
    out->winograd_start[1] = start(q[2 * p + 1]);
    sums.pairs[p] = (sum[2 * p] & 0xffff) | sum[2 * p + 1] * 65536;
  }
  sums.scale = scale;
}

/// Quantises a group. No code is beyond kSubBlockCodeMax, nor the sum of a sub-block's magnitudes
/// beyond kSubBlockMagnitudesMax. Returns its scale.
inline float quantize_sub_blocks_of(const float* x, int8_t* q, int32_t* sum) {
  const float amax = f_reduce_max(f_max(f_abs(f_load(x)), f_abs(f_load(x + 16))));
  float scale = amax > kAmaxMin ? amax / static_cast<float>(kSubBlockCodeMax) : 0.0f;
  const auto round = [&] {  // returns the larger sum of magnitudes
    round_group(x, f_set1(scale > 0 ? 1.0f / scale : 0.0f), q);
    int32_t most = 0;
    for (int h = 0; h < 2; ++h) {
      sum[h] = 0;
      int32_t magnitudes = 0;
      for (int i = 16 * h; i < 16 * h + 16; ++i) {
        sum[h] += q[i];
        magnitudes += q[i] < 0 ? -q[i] : q[i];
      }
      most = magnitudes > most ? magnitudes : most;
    }
    return most;
  };
  if (const int32_t most = round(); most > kSubBlockMagnitudesMax) {
    scale *= sub_block_stretch(most);
    round();
  }
  return scale;
}

/// Quantises two groups as interleaved sub-blocks.
inline void quantize_sub_block_pair(const float* x, ActSubBlocks16& out) {
  for (int g = 0; g < 2; ++g) {
    int8_t q[kGroup];
    int32_t sum[2];
    out.scale[g] = quantize_sub_blocks_of(x + kGroup * g, q, sum);
    interleave<kGroup / 2>(q, q + kGroup / 2, out.q + kGroup * g);
    for (int h = 0; h < 2; ++h) {
      out.start[g][h] = -32 * sum[h];
      out.winograd_start[g][h] =
          out.start[g][h] + winograd_start<kSubBlockWinogradColumns, 8, kSubBlockUnsignedOffset,
                                           kSubBlockSignedOffset>(q + 16 * h);
    }
  }
}
