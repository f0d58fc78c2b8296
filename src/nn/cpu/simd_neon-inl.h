// The 16-lane vector vocabulary (simd_portable-inl.h) on NEON with dot product: each vector is four
// registers. Included inside an unnamed namespace by one .cpp file per instruction set; hence no
// includes here.

struct F {
  float32x4_t v[4];
};
struct I {
  int32x4_t v[4];
};
struct W {
  uint8x16_t v[4];
};

#define PIPPIN_FOUR(i) _Pragma("GCC unroll 4") for (int i = 0; i < 4; ++i)

inline F f_set1(float x) {
  F r;
  PIPPIN_FOUR(i) r.v[i] = vdupq_n_f32(x);
  return r;
}
inline F f_zero() { return f_set1(0); }
inline F f_load(const float* p) {
  F r;
  PIPPIN_FOUR(i) r.v[i] = vld1q_f32(p + 4 * i);
  return r;
}
inline void f_store(float* p, F a) { PIPPIN_FOUR(i) vst1q_f32(p + 4 * i, a.v[i]); }
inline F f_add(F a, F b) {
  PIPPIN_FOUR(i) a.v[i] = vaddq_f32(a.v[i], b.v[i]);
  return a;
}
inline F f_sub(F a, F b) {
  PIPPIN_FOUR(i) a.v[i] = vsubq_f32(a.v[i], b.v[i]);
  return a;
}
inline F f_mul(F a, F b) {
  PIPPIN_FOUR(i) a.v[i] = vmulq_f32(a.v[i], b.v[i]);
  return a;
}
inline F f_div(F a, F b) {
  PIPPIN_FOUR(i) a.v[i] = vdivq_f32(a.v[i], b.v[i]);
  return a;
}
// Compare and select, so that a NaN goes the way it goes on the other paths.
inline F f_max(F a, F b) {
  PIPPIN_FOUR(i) a.v[i] = vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]);
  return a;
}
inline F f_min(F a, F b) {
  PIPPIN_FOUR(i) a.v[i] = vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]);
  return a;
}
inline F f_fma(F a, F b, F c) {
  PIPPIN_FOUR(i) c.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
  return c;
}
inline F f_fnma(F a, F b, F c) {
  PIPPIN_FOUR(i) c.v[i] = vfmsq_f32(c.v[i], a.v[i], b.v[i]);
  return c;
}
inline F f_abs(F a) {
  PIPPIN_FOUR(i) a.v[i] = vabsq_f32(a.v[i]);
  return a;
}
inline F f_from_int(I a) {
  F r;
  PIPPIN_FOUR(i) r.v[i] = vcvtq_f32_s32(a.v[i]);
  return r;
}
inline F f_from_half(const uint16_t* p) {
  F r;
  PIPPIN_FOUR(i) r.v[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i)));
  return r;
}
inline F f_from_bfloat(const uint16_t* p) {
  F r;
  PIPPIN_FOUR(i) r.v[i] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16));
  return r;
}
inline void f_to_half(uint16_t* p, F a) {
  PIPPIN_FOUR(i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i])));
}
inline I widen_u8(uint8x16_t bytes) {
  const uint16x8_t low = vmovl_u8(vget_low_u8(bytes));
  const uint16x8_t high = vmovl_u8(vget_high_u8(bytes));
  return {{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
           vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(low))),
           vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
           vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(high)))}};
}
inline F f_from_u8(const uint8_t* p) { return f_from_int(widen_u8(vld1q_u8(p))); }
inline F f_from_s8(const uint8_t* p) {
  const int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(p));
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
  const int16x8_t high = vmovl_s8(vget_high_s8(bytes));
  return f_from_int({{vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)),
                      vmovl_s16(vget_low_s16(high)), vmovl_s16(vget_high_s16(high))}});
}
inline float f_reduce_max(F a) {
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.v[0], a.v[1]), vmaxq_f32(a.v[2], a.v[3])));
}
inline float f_reduce_add(F a) {  // lane i with i + 8, then + 4, + 2, + 1
  const float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline F f_from_exponent(const uint8_t* p) {
  const I e = widen_u8(vld1q_u8(p));
  F r;
  PIPPIN_FOUR(i) {
    const int32x4_t normal = vshlq_n_s32(vsubq_s32(e.v[i], vdupq_n_s32(1)), 23);
    const int32x4_t tiny = vshlq_s32(vdupq_n_s32(0x00200000), e.v[i]);
    r.v[i] = vreinterpretq_f32_s32(vbslq_s32(vcltq_s32(e.v[i], vdupq_n_s32(2)), tiny, normal));
  }
  return r;
}
inline I i_round(F a) {
  I r;
  PIPPIN_FOUR(i) r.v[i] = vcvtnq_s32_f32(a.v[i]);
  return r;
}
inline I i_set1(int32_t x) {
  I r;
  PIPPIN_FOUR(i) r.v[i] = vdupq_n_s32(x);
  return r;
}
inline I i_add(I a, I b) {
  PIPPIN_FOUR(i) a.v[i] = vaddq_s32(a.v[i], b.v[i]);
  return a;
}
inline int32_t i_reduce_add(I a) {
  return vaddvq_s32(vaddq_s32(vaddq_s32(a.v[0], a.v[1]), vaddq_s32(a.v[2], a.v[3])));
}
inline void i_store_s8(int8_t* p, I a) {
  const int16x8_t low = vcombine_s16(vmovn_s32(a.v[0]), vmovn_s32(a.v[1]));
  const int16x8_t high = vcombine_s16(vmovn_s32(a.v[2]), vmovn_s32(a.v[3]));
  vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}
inline void i_store_s16(int16_t* p, I a) { PIPPIN_FOUR(i) vst1_s16(p + 4 * i, vmovn_s32(a.v[i])); }
inline F f_exp2_int(I n) {
  F r;
  PIPPIN_FOUR(i)
  r.v[i] = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n.v[i], vdupq_n_s32(127)), 23));
  return r;
}
inline F f_select_bit0(I n, F set, F clear) {
  PIPPIN_FOUR(i) clear.v[i] = vbslq_f32(vtstq_s32(n.v[i], vdupq_n_s32(1)), set.v[i], clear.v[i]);
  return clear;
}
inline F f_negate_bit1(I n, F a) {
  PIPPIN_FOUR(i) {
    const int32x4_t sign = vshlq_n_s32(vandq_s32(n.v[i], vdupq_n_s32(2)), 30);
    a.v[i] = vreinterpretq_f32_s32(veorq_s32(vreinterpretq_s32_f32(a.v[i]), sign));
  }
  return a;
}
inline F f_swap_pairs(F a) {
  PIPPIN_FOUR(i) a.v[i] = vrev64q_f32(a.v[i]);
  return a;
}

inline W w_load(const uint8_t* p) {
  W r;
  PIPPIN_FOUR(i) r.v[i] = vld1q_u8(p + 16 * i);
  return r;
}
inline void w_store(uint8_t* p, W a) { PIPPIN_FOUR(i) vst1q_u8(p + 16 * i, a.v[i]); }
template <int kShift, int kMask>
inline uint8x16_t bits16(uint8x16_t a) {
  if constexpr (kShift > 0) a = vshlq_n_u8(a, kShift);
  if constexpr (kShift < 0) a = vshrq_n_u8(a, -kShift);
  return vandq_u8(a, vdupq_n_u8(kMask));
}
template <int kShift, int kMask>
inline W w_bits(W a) {
  PIPPIN_FOUR(i) a.v[i] = bits16<kShift, kMask>(a.v[i]);
  return a;
}
template <int kShift, int kMask>
inline W w_or_bits(W base, W a) {
  PIPPIN_FOUR(i) base.v[i] = vorrq_u8(base.v[i], bits16<kShift, kMask>(a.v[i]));
  return base;
}
using WTable = uint8x16_t;
inline WTable w_table(const Codebook& book) { return vld1q_u8(book.codes); }
inline W w_lookup(const WTable& table, W a) {
  PIPPIN_FOUR(i) a.v[i] = vqtbl1q_u8(table, a.v[i]);
  return a;
}
template <int k>
inline I w_lane_byte(W a) {
  I r;
  PIPPIN_FOUR(i) {
    uint32x4_t lanes = vreinterpretq_u32_u8(a.v[i]);
    if constexpr (k > 0) lanes = vshrq_n_u32(lanes, 8 * k);
    r.v[i] = vreinterpretq_s32_u32(vandq_u32(lanes, vdupq_n_u32(255)));
  }
  return r;
}

template <int kShift>
inline I i_set1_shifted(int32_t x) {
  return i_set1(x * (1 << kShift));
}
inline W w_pairs(const uint8_t* low, const uint8_t* high) {
  W r;
  const uint16x8_t l[2] = {vmovl_u8(vld1_u8(low)), vmovl_u8(vld1_u8(low + 8))};
  const uint16x8_t h[2] = {vmovl_u8(vld1_u8(high)), vmovl_u8(vld1_u8(high + 8))};
  PIPPIN_FOUR(i)
  r.v[i] =
      vreinterpretq_u8_u16(i % 2 ? vzip2q_u16(l[i / 2], h[i / 2]) : vzip1q_u16(l[i / 2], h[i / 2]));
  return r;
}
inline W w_signed_pairs(const uint8_t* low, const uint8_t* high) {
  W r;
  const auto wide = [](const uint8_t* p) { return vmovl_s8(vreinterpret_s8_u8(vld1_u8(p))); };
  const int16x8_t l[2] = {wide(low), wide(low + 8)};
  const int16x8_t h[2] = {wide(high), wide(high + 8)};
  PIPPIN_FOUR(i)
  r.v[i] =
      vreinterpretq_u8_s16(i % 2 ? vzip2q_s16(l[i / 2], h[i / 2]) : vzip1q_s16(l[i / 2], h[i / 2]));
  return r;
}
inline I i_set2(const int32_t* two) {
  const int32x2_t both = vld1_s32(two);
  I r;
  PIPPIN_FOUR(i) r.v[i] = vcombine_s32(both, both);
  return r;
}
inline W w_pairs_s8(const uint8_t* p) {
  W r;
  PIPPIN_FOUR(i) {
    const int16x8_t wide = vmovl_s8(vreinterpret_s8_u8(vld1_u8(p + 8 * i)));
    r.v[i] = vreinterpretq_u8_s16(wide);
  }
  return r;
}
inline I i_dpwssd_broadcast(I acc, W pairs, int32_t two) {
  const int32x4_t low = vdupq_n_s32(static_cast<int16_t>(two));
  const int32x4_t high = vdupq_n_s32(two >> 16);
  PIPPIN_FOUR(i) {
    const int32x4_t lanes = vreinterpretq_s32_u8(pairs.v[i]);
    const int32x4_t l = vshrq_n_s32(vshlq_n_s32(lanes, 16), 16);
    const int32x4_t h = vshrq_n_s32(lanes, 16);
    acc.v[i] = vmlaq_s32(vmlaq_s32(acc.v[i], l, low), h, high);
  }
  return acc;
}
inline W w_pack(I a, I b) {
  W r;
  PIPPIN_FOUR(i)
  r.v[i] = vreinterpretq_u8_s16(vcombine_s16(vqmovn_s32(a.v[i]), vqmovn_s32(b.v[i])));
  return r;
}
inline I i_dpwssd(I acc, W a, W b) {
  PIPPIN_FOUR(i) {
    const int16x8_t x = vreinterpretq_s16_u8(a.v[i]), y = vreinterpretq_s16_u8(b.v[i]);
    acc.v[i] = vaddq_s32(
        acc.v[i], vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
  }
  return acc;
}
inline F f_even(F a, F b) {
  PIPPIN_FOUR(i) a.v[i] = vuzp1q_f32(a.v[i], b.v[i]);
  return a;
}
inline F f_odd(F a, F b) {
  PIPPIN_FOUR(i) a.v[i] = vuzp2q_f32(a.v[i], b.v[i]);
  return a;
}

// Register tiles, of 32 registers: activation rows of a linear kernel; query rows of a score tile
// and of a value tile.
constexpr int kPassRows = 4;
constexpr bool kManyGroups = true;
constexpr bool kManySubBlocks = true;
constexpr bool kManyGroupPairs = true;
constexpr bool kManyFloats = true;
constexpr int kScoreRows = 6;
constexpr int kScoreBlocks = 2;
constexpr int kValueRows = 6;
constexpr int kRegisters = 8;  // of 16 floats
