// Cuts the row-wise kernels into tasks for the pool: norms, rotary embedding with the KV write.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "nn/cpu/kernels.h"
#include "nn/cpu/rope_angles.h"

namespace pippin::nn::cpu {
namespace {

constexpr int64_t kTaskElements = 8192;  // a few microseconds: less is not worth a dispatch

// Calls one(row) for all rows: here where they are little work, else in tasks of several rows.
template <typename One>
void each_row(int64_t rows, int64_t elements_per_row, ThreadPool& pool, const One& one) {
  const int64_t per_task =
      std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, elements_per_row));
  const int64_t tasks = (rows + per_task - 1) / per_task;
  const auto task_rows = [&](int task, int) {
    for (int64_t row = task * per_task; row < std::min(rows, (task + 1) * per_task); ++row)
      one(row);
  };
  if (tasks < 3) {
    for (int task = 0; task < tasks; ++task) task_rows(task, 0);
  } else {
    pool.run(static_cast<int>(tasks), task_rows);
  }
}

// Writes a head's keys and values of one position. `slice`: of the head, in a block; `offset`: of
// the position.
class KvWriter {
 public:
  KvWriter(const Kernels& path, const KvLayer& kv) : path_(path), kv_(kv) {}

  void key(const float* head, uint8_t* slice, int64_t offset) const {
    if (kv_.type == KvType::kF16) return store_f16(head, KvLayer::kBlock, slice + offset * 2);
    const auto groups = quantize(head, slice, offset);
    // Codes are unsigned here, and four dims of a position lie together.
    for (int four = 0; four < kv_.groups() * kGroup / 4; ++four) {
      uint32_t codes;
      std::memcpy(&codes, groups[static_cast<size_t>(four / 8)].q + four % 8 * 4, 4);
      codes ^= 0x80808080u;
      std::memcpy(slice + (four * KvLayer::kBlock + offset) * 4, &codes, 4);
    }
  }

  void value(const float* head, uint8_t* slice, int64_t offset) const {
    if (kv_.type == KvType::kF16) return store_f16(head, 1, slice + offset * kv_.head_dim * 2);
    const auto groups = quantize(head, slice, offset);
    // Two positions of a dim lie together.
    uint8_t* codes = slice + offset / 2 * 2 * kv_.groups() * kGroup + offset % 2;
    for (int g = 0; g < kv_.groups(); ++g) {
      for (const int8_t code : groups[static_cast<size_t>(g)].q) {
        *codes = static_cast<uint8_t>(code);
        codes += 2;
      }
    }
  }

 private:
  static constexpr size_t kGroupsMax = kHeadDimMax / kGroup;
  static_assert(kGroup == KvLayer::kGroup);

  void store_f16(const float* head, int64_t stride, uint8_t* to) const {
    path_.norm_rope.store_half(head, kv_.head_dim, stride, reinterpret_cast<uint16_t*>(to));
  }

  // Returns the codes; the scales go to the slice at once.
  std::array<ActGroup, kGroupsMax> quantize(const float* head, uint8_t* slice,
                                            int64_t offset) const {
    std::array<float, kHeadDimMax> whole;  // groups, with zeros behind the head
    std::copy_n(head, kv_.head_dim, whole.begin());
    std::fill(whole.begin() + kv_.head_dim, whole.begin() + kv_.groups() * kGroup, 0.0f);
    std::array<ActGroup, kGroupsMax> groups;
    path_.linear.quantizer(ActQuantisation::kGroups)(whole.data(), kv_.groups(),
                                                     {.groups = groups.data(), .rows = 1});
    std::array<float, kGroupsMax> scales;
    for (size_t g = 0; g < static_cast<size_t>(kv_.groups()); ++g) scales[g] = groups[g].scale;
    path_.norm_rope.store_half(scales.data(), kv_.groups(), KvLayer::kBlock,
                               reinterpret_cast<uint16_t*>(slice + kv_.code_bytes()) + offset);
    return groups;
  }

  const Kernels& path_;
  const KvLayer& kv_;
};

struct TokenWriter {
  const NormRopeKernels& path;
  const QkvArgs& args;
  const KvLayer& kv;
  KvWriter writer;

  void prepare(float* head, const float* norm, const RopeAngles& angles) const {
    const auto normed = [&] {
      if (norm != nullptr) path.rms_norm(head, nullptr, norm, args.norm_eps, kv.head_dim, head);
    };
    if (!args.norm_after_rope) normed();
    if (args.rope.dims > 0) {
      path.rotate(head, args.rope.dims / 2, args.rope.interleaved, angles.cosine.data(),
                  angles.sine.data());
    }
    if (args.norm_after_rope) normed();
  }

  void write(int64_t token) const {
    const int64_t d = kv.head_dim;
    const int64_t heads = args.heads;
    const float* q = args.qkv + token * (heads + (args.queries_only ? 0 : 2 * kv.kv_heads)) * d;
    const float* k = q + heads * d;
    const float* v = k + kv.kv_heads * d;
    RopeAngles angles;
    if (args.rope.dims > 0) angles.compute(path, args.positions[token], args.rope);

    float* q_out = args.q_out + token * heads * d;
    std::memcpy(q_out, q, static_cast<size_t>(heads * d) * sizeof(float));
    for (int64_t h = 0; h < heads; ++h) prepare(q_out + h * d, args.q_norm, angles);
    if (args.queries_only) return;

    const int64_t block = args.slots[token] / KvLayer::kBlock;
    const int64_t offset = args.slots[token] % KvLayer::kBlock;
    std::array<float, kHeadDimMax> key;
    for (int64_t h = 0; h < kv.kv_heads; ++h) {
      const int64_t slice = block * kv.block_bytes() + h * kv.head_bytes();
      std::memcpy(key.data(), k + h * d, static_cast<size_t>(d) * sizeof(float));
      prepare(key.data(), args.k_norm, angles);
      writer.key(key.data(), kv.k + slice, offset);
      writer.value(v + h * d, kv.v + slice, offset);
    }
  }
};

}  // namespace

void rope_kv_write(const Kernels& path, const QkvArgs& args, const KvLayer& kv, ThreadPool& pool) {
  CHECK(kv.head_dim <= kHeadDimMax && args.rope.dims <= kv.head_dim && args.rope.dims % 2 == 0,
        "the loader checks heads");
  const TokenWriter writer{path.norm_rope, args, kv, KvWriter(path, kv)};
  each_row(args.tokens, (args.heads + 2 * kv.kv_heads) * kv.head_dim, pool,
           [&](int64_t token) { writer.write(token); });
}

void rms_norm(const Kernels& path, float* x, const float* add, const float* weight, float eps,
              int64_t tokens, int64_t dim, float* out, ThreadPool& pool) {
  each_row(tokens, dim, pool, [&](int64_t t) {
    path.norm_rope.rms_norm(x + t * dim, add == nullptr ? nullptr : add + t * dim, weight, eps, dim,
                            out + t * dim);
  });
}

void rope_kv_write(const QkvArgs& args, const KvLayer& kv, ThreadPool& pool) {
  rope_kv_write(default_kernels(), args, kv, pool);
}
void rms_norm(float* x, const float* add, const float* weight, float eps, int64_t tokens,
              int64_t dim, float* out, ThreadPool& pool) {
  rms_norm(default_kernels(), x, add, weight, eps, tokens, dim, out, pool);
}

}  // namespace pippin::nn::cpu
