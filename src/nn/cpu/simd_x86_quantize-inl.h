// The activation quantiser of the x86 paths: simd_quantize-inl.h in AVX2. Eight groups at a time:
// where a group has one number, each lane is a group.
// Included inside an unnamed namespace by one .cpp file per instruction set; hence no includes
// here.

/// Up to eight groups. Lanes beyond the last one repeat it.
struct Groups8 {
  int count;
  int at(int lane) const { return lane < count ? lane : count - 1; }
};

/// Largest magnitudes.
[[gnu::always_inline]] inline __m256 group_amax(const float* x, Groups8 groups) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const auto group = [&](int lane) {
    const float* from = x + kGroup * groups.at(lane);
    const auto magnitude = [&](int i) {
      return _mm256_andnot_ps(sign, _mm256_loadu_ps(from + 8 * i));
    };
    return _mm256_max_ps(_mm256_max_ps(magnitude(0), magnitude(1)),
                         _mm256_max_ps(magnitude(2), magnitude(3)));
  };
  const auto two = [&](int g) {  // lanes g, g + 1, g, g + 1, in both halves
    const __m256 a = group(g), b = group(g + 1);
    return _mm256_max_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  };
  const auto four = [&](int g) {  // lanes g .. g + 3, in both halves
    const __m256d a = _mm256_castps_pd(two(g)), b = _mm256_castps_pd(two(g + 2));
    return _mm256_max_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)),
                         _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
  };
  const __m256 a = four(0), b = four(4);
  return _mm256_max_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

struct GroupScales8 {
  __m256 scale, inverse;
};

/// group_scale() of eight groups.
template <bool kPowerOfTwo>
inline GroupScales8 group_scales(__m256 amax) {
  GroupScales8 s;
  if constexpr (kPowerOfTwo) {
    // The next power of two of amax / 120: amax's own times 2^-6, or 2^-5 where its mantissa is
    // above 120 / 64.
    static_assert(kBlockCodeMax == 120);
    const __m256i up = _mm256_add_epi32(_mm256_castps_si256(amax), _mm256_set1_epi32(0xfffff));
    const __m256i power = _mm256_and_si256(up, _mm256_set1_epi32(0x7f800000));
    const __m256i bits = _mm256_sub_epi32(power, _mm256_set1_epi32(6 << 23));
    s.scale = _mm256_min_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(kPowerMax));
    s.inverse = _mm256_castsi256_ps(
        _mm256_sub_epi32(_mm256_set1_epi32(0x7f000000), _mm256_castps_si256(s.scale)));
  } else {
    s.scale = _mm256_div_ps(amax, _mm256_set1_ps(127.0f));
    s.inverse = _mm256_div_ps(_mm256_set1_ps(1.0f), s.scale);
  }
  const __m256 some = _mm256_cmp_ps(amax, _mm256_set1_ps(kAmaxMin), _CMP_GT_OQ);
  s.scale = _mm256_and_ps(s.scale, some);
  s.inverse = _mm256_and_ps(s.inverse, some);
  return s;
}

/// The codes of a group.
inline __m256i group_codes(const float* x, __m256 inverse) {
  const auto codes = [&](int i) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse));
  };
  const __m256i low = _mm256_packs_epi32(codes(0), codes(1));
  const __m256i high = _mm256_packs_epi32(codes(2), codes(3));
  // The packs leave 4-byte pieces in the order 0 2 4 6 | 1 3 5 7.
  return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high),
                                     _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

struct GroupSums8 {
  __m256i low, high;  // of each group's two sub-blocks
};

/// The sums of eight groups' codes. `eights`: for each group, four 64-bit sums of 8 codes + 128.
inline GroupSums8 group_sums(const __m256i* eights) {
  const auto two = [&](int g) {  // 32-bit lanes g, g + 1 of each sum
    return _mm256_or_si256(eights[g], _mm256_slli_epi64(eights[g + 1], 32));
  };
  const auto four = [&](int g) {  // low halves of groups g .. g + 3, then their high halves
    const __m256i a = two(g), b = two(g + 2);
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
  };
  const __m256i a = four(0), b = four(4);
  const __m256i bias = _mm256_set1_epi32(16 * 128);
  return {_mm256_sub_epi32(_mm256_permute2x128_si256(a, b, 0x20), bias),
          _mm256_sub_epi32(_mm256_permute2x128_si256(a, b, 0x31), bias)};
}

/// Writes eight sums, two by two.
inline void store_pairs(__m256i sums, BlockSums& out) {
  // 16 bits of an even lane, 16 of the odd one behind it; then the even lanes.
  const __m256i pairs = _mm256_blend_epi16(sums, _mm256_srli_epi64(sums, 16), 0x22);
  const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 0, 0, 0, 0);
  _mm_store_si128(reinterpret_cast<__m128i*>(out.pairs),
                  _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(pairs, order)));
}

/// write_sums() of a block.
inline void store_sums(__m256 scale, __m256 sum, BlockSums& out) {
  __m256 largest = _mm256_max_ps(scale, _mm256_permute2f128_ps(scale, scale, 1));
  largest = _mm256_max_ps(largest, _mm256_permute_ps(largest, 0x4e));
  largest = _mm256_max_ps(largest, _mm256_permute_ps(largest, 0xb1));
  const __m256 some = _mm256_cmp_ps(largest, _mm256_setzero_ps(), _CMP_GT_OQ);
  const __m256 inverse = _mm256_and_ps(_mm256_div_ps(_mm256_set1_ps(2.0f), largest), some);
  store_pairs(_mm256_cvtps_epi32(_mm256_mul_ps(sum, inverse)), out);
  out.scale = 0.5f * _mm256_cvtss_f32(largest);
}

/// The products of activation codes alone in a group's Winograd inner product, as eight sums.
inline __m256i winograd_sums(__m256i codes) {
  const __m256i low = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(codes));
  const __m256i high = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(codes, 1));
  const __m256i sums =
      _mm256_madd_epi16(_mm256_sub_epi16(low, _mm256_set1_epi16(kSignedOffset)),
                        _mm256_add_epi16(high, _mm256_set1_epi16(kUnsignedOffset)));
  return _mm256_blend_epi32(_mm256_setzero_si256(), sums, (1 << kWinogradColumns / 2) - 1);
}

/// The sums of eight vectors of eight.
inline __m256i sums_of_eight(const __m256i* v) {
  const __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  const __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                          _mm256_permute2x128_si256(a, b, 0x31));
}

/// Writes four fields, a lane a group, behind each group's codes.
[[gnu::always_inline]] inline void store_fields(const __m256* fields, Groups8 groups, ActGroup* out,
                                                int64_t stride) {
  const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(fields[0], fields[1]));
  const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(fields[0], fields[1]));
  const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(fields[2], fields[3]));
  const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(fields[2], fields[3]));
  const __m256d quads[4] = {// the fields of groups g and g + 4
                            _mm256_unpacklo_pd(low01, low23), _mm256_unpackhi_pd(low01, low23),
                            _mm256_unpacklo_pd(high01, high23), _mm256_unpackhi_pd(high01, high23)};
#pragma GCC unroll 4
  for (int g = 0; g < 4; ++g) {
    const __m256 both = _mm256_castpd_ps(quads[g]);
    _mm_store_ps(&out[groups.at(g) * stride].scale, _mm256_castps256_ps128(both));
    _mm_store_ps(&out[groups.at(g + 4) * stride].scale, _mm256_extractf128_ps(both, 1));
  }
}

template <bool kPowerOfTwo>
[[gnu::always_inline]] inline void quantize_eight(const float* x, Groups8 groups, ActGroup* out,
                                                  [[maybe_unused]] BlockSums* block,
                                                  int64_t stride) {
  const GroupScales8 s = group_scales<kPowerOfTwo>(group_amax(x, groups));
  alignas(32) float inverse[8];
  _mm256_store_ps(inverse, s.inverse);
  __m256i eights[8];
#pragma GCC unroll 8
  for (int g = 0; g < 8; ++g) {
    const __m256i codes = group_codes(x + kGroup * groups.at(g), _mm256_set1_ps(inverse[g]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[groups.at(g) * stride].q), codes);
    const __m256i flipped = _mm256_xor_si256(codes, _mm256_set1_epi8(static_cast<char>(0x80)));
    eights[g] = _mm256_sad_epu8(flipped, _mm256_setzero_si256());
  }
  const GroupSums8 sums = group_sums(eights);
  const __m256i sum = _mm256_add_epi32(sums.low, sums.high);
  const auto negative = [](__m256i a) { return _mm256_sub_epi32(_mm256_setzero_si256(), a); };
  const auto as_floats = [](__m256i a) { return _mm256_castsi256_ps(a); };
  const __m256 scaled_sum = _mm256_mul_ps(s.scale, _mm256_cvtepi32_ps(sum));
  if constexpr (kPowerOfTwo) {
    const __m256 origin = _mm256_mul_ps(_mm256_set1_ps(12582912.0f), s.scale);
    const __m256 fields[4] = {
        origin,
        _mm256_setzero_ps(),
        as_floats(negative(sums.low)),
        as_floats(negative(sums.high)),
    };
    store_fields(fields, groups, out, stride);
    store_sums(s.scale, scaled_sum, *block);
  } else {
    const __m256 fields[4] = {s.scale, scaled_sum, as_floats(negative(sum)), _mm256_setzero_ps()};
    store_fields(fields, groups, out, stride);
  }
}

/// Quantises up to eight groups. With power-of-two scales they are eight, a block.
template <bool kPowerOfTwo>
inline void quantize_groups(const float* x, int count, ActGroup* out, BlockSums* sums,
                            int64_t stride) {
  if (count == 8) {  // a number the compiler knows
    quantize_eight<kPowerOfTwo>(x, {8}, out, sums, stride);
  } else {
    quantize_eight<kPowerOfTwo>(x, {count}, out, sums, stride);
  }
}

/// The largest magnitude of kCount values.
template <int kCount>
inline float largest(const float* x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 amax[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) amax[i] = _mm256_setzero_ps();
  for (int from = 0; from < kCount; from += kGroup) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      amax[i] = _mm256_max_ps(amax[i], _mm256_andnot_ps(sign, _mm256_loadu_ps(x + from + 8 * i)));
  }
  const __m256 eight =
      _mm256_max_ps(_mm256_max_ps(amax[0], amax[1]), _mm256_max_ps(amax[2], amax[3]));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/// Interleaves codes: four of the first, four of the second, and so on.
inline void interleave(__m256i first, __m256i second, int8_t* out) {
  const __m256i low = _mm256_unpacklo_epi32(first, second);
  const __m256i high = _mm256_unpackhi_epi32(first, second);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + kGroup),
                      _mm256_permute2x128_si256(low, high, 0x31));
}

/// Rounds a block to codes. Returns the largest sum of a group's magnitudes.
inline int round_block(const float* x, float scale, __m256i* codes) {
  const __m256 inverse = _mm256_set1_ps(scale > 0 ? 1.0f / scale : 0.0f);
  __m256i most = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int g = 0; g < kSuperGroups; ++g) {
    codes[g] = group_codes(x + kGroup * g, inverse);
    // Four sums, one of them in each 64 bits; then two, each in the low half of 128 bits.
    __m256i sums = _mm256_sad_epu8(_mm256_abs_epi8(codes[g]), _mm256_setzero_si256());
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));
    sums = _mm256_add_epi32(sums, _mm256_permute2x128_si256(sums, sums, 1));
    most = _mm256_max_epi32(most, sums);
  }
  return _mm256_cvtsi256_si32(most);
}

/// quantize_block() of simd_quantize-inl.h.
inline void quantize_block(const float* x, ActGroupPair* out, BlockSums& sums, int64_t stride) {
  const float amax = largest<kGroup * kSuperGroups>(x);
  float scale = amax > kAmaxMin ? amax / static_cast<float>(kBlockCodeMax) : 0.0f;
  __m256i codes[kSuperGroups];
  if (const int most = round_block(x, scale, codes); most > kGroupMagnitudesMax) [[unlikely]] {
    scale *= group_stretch(most);
    round_block(x, scale, codes);
  }
  __m256i sum[kSuperGroups], winograd[kSuperGroups];
#pragma GCC unroll 8
  for (int g = 0; g < kSuperGroups; ++g) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes[g]);
    sum[g] = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    winograd[g] = winograd_sums(codes[g]);
  }
  store_pairs(sums_of_eight(sum), sums);
  sums.scale = scale;
  constexpr int kBias = kWinogradColumns * kSignedOffset * kUnsignedOffset;
  alignas(32) int32_t starts[kSuperGroups];
  _mm256_store_si256(reinterpret_cast<__m256i*>(starts),
                     _mm256_sub_epi32(_mm256_set1_epi32(-kBias), sums_of_eight(winograd)));
#pragma GCC unroll 4
  for (int p = 0; p < kSuperGroups / 2; ++p, out += stride) {
    interleave(codes[2 * p], codes[2 * p + 1], out->q);
    __builtin_memcpy(out->winograd_start, starts + 2 * p, sizeof out->winograd_start);
  }
}

/// Rounds a group to codes. Returns the larger sum of a sub-block's magnitudes.
inline int round_sub_blocks(const float* x, float scale, __m256i& codes) {
  codes = group_codes(x, _mm256_set1_ps(scale > 0 ? 1.0f / scale : 0.0f));
  __m256i sums = _mm256_sad_epu8(_mm256_abs_epi8(codes), _mm256_setzero_si256());
  sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));  // low: one sub-block
  const __m128i second = _mm256_extracti128_si256(sums, 1);
  return _mm_cvtsi128_si32(_mm_max_epi32(_mm256_castsi256_si128(sums), second));
}

/// The same of a group's sub-blocks, four sums of each. Those beyond kSubBlockWinogradColumns are
/// zero.
inline __m256i winograd_sums_of_sub_blocks(__m256i codes) {
  // The first and the second columns of both sub-blocks, widened.
  const auto widened = [](__m256i both) {
    return _mm256_cvtepi8_epi16(_mm256_castsi256_si128(both));
  };
  const __m256i first = widened(_mm256_permute4x64_epi64(codes, 0x08));
  const __m256i second = widened(_mm256_permute4x64_epi64(codes, 0x0d));
  const __m256i sums =
      _mm256_madd_epi16(_mm256_sub_epi16(first, _mm256_set1_epi16(kSubBlockSignedOffset)),
                        _mm256_add_epi16(second, _mm256_set1_epi16(kSubBlockUnsignedOffset)));
  constexpr int kSums = (1 << kSubBlockWinogradColumns / 2) - 1;
  return _mm256_blend_epi32(_mm256_setzero_si256(), sums, kSums | kSums << 4);
}

/// quantize_sub_block_pair() of simd_quantize-inl.h.
inline void quantize_sub_block_pair(const float* x, ActSubBlocks16& out) {
  __m256i codes[2], sums[2], winograd[2];
#pragma GCC unroll 2
  for (int g = 0; g < 2; ++g) {
    const float amax = largest<kGroup>(x + kGroup * g);
    float scale = amax > kAmaxMin ? amax / static_cast<float>(kSubBlockCodeMax) : 0.0f;
    if (const int most = round_sub_blocks(x + kGroup * g, scale, codes[g]);
        most > kSubBlockMagnitudesMax) [[unlikely]] {
      scale *= sub_block_stretch(most);
      round_sub_blocks(x + kGroup * g, scale, codes[g]);
    }
    out.scale[g] = scale;
    // 32 times each sum, without and with the Winograd products: eight sums, four of each
    // sub-block.
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(32), codes[g]);
    sums[g] = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    winograd[g] = _mm256_add_epi32(sums[g], winograd_sums_of_sub_blocks(codes[g]));
  }
  interleave(_mm256_permute2x128_si256(codes[0], codes[1], 0x20),
             _mm256_permute2x128_si256(codes[0], codes[1], 0x31), out.q);
  // 128 bits of a sub-block: the sums of both groups, then their Winograd sums.
  __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]),
                                  _mm256_hadd_epi32(winograd[0], winograd[1]));
  constexpr int kBias = kSubBlockWinogradColumns * kSubBlockSignedOffset * kSubBlockUnsignedOffset;
  all = _mm256_sub_epi32(_mm256_setr_epi32(0, 0, -kBias, -kBias, 0, 0, -kBias, -kBias), all);
  const __m128i first = _mm256_castsi256_si128(all), second = _mm256_extracti128_si256(all, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out.start), _mm_unpacklo_epi32(first, second));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out.winograd_start),
                   _mm_unpackhi_epi32(first, second));
}
