// CpuBackend: blocks of keys and values, in one mapping.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"
#include "nn/cpu/backend/cpu_backend.h"

namespace pippin::nn {
namespace {

// What follows begins on a cache line.
int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

class CpuKvCache final : public KvCache {
 public:
  /// `memory`: of the size that the layers need. Its pages are touched as they are used.
  CpuKvCache(const std::vector<KvGeometry>& layers, KvPlan plan, KvType type, void* memory,
             size_t bytes)
      : KvCache(std::move(plan)), memory_(memory), memory_bytes_(bytes) {
    auto* at = static_cast<uint8_t*>(memory);
    for (const KvGeometry& g : layers) {
      const int group = group_of(plan_, g);
      const int64_t bytes_all = g.block_bytes(type) * blocks_of(group);
      if (g.kind() == KvKind::kState) {
        layers_.push_back(std::make_unique<CpuState>(g, group, reinterpret_cast<float*>(at)));
      } else {
        layers_.push_back(attention_store(g, group, type, at));
      }
      at += aligned(bytes_all);
    }
  }
  ~CpuKvCache() override { munmap(memory_, memory_bytes_); }

  void copy_block(int from, int to, int group) override {
    for (const std::unique_ptr<KvLayerStore>& store : layers_) {
      if (store->group != group) continue;
      if (store->geometry.kind() == KvKind::kState) {
        const auto& states = static_cast<CpuState&>(*store);
        const auto bytes = static_cast<size_t>(store->geometry.block_bytes(KvType::kF16));
        std::memcpy(states.conv(to), states.conv(from), bytes);
        continue;
      }
      const cpu::KvLayer& layer = static_cast<CpuKv&>(*store).blocks;
      const int64_t n = layer.block_bytes();
      std::memcpy(layer.k + to * n, layer.k + from * n, static_cast<size_t>(n));
      std::memcpy(layer.v + to * n, layer.v + from * n, static_cast<size_t>(n));
    }
  }

  bool can_give_back() const override { return true; }
  void give_back(std::span<const int> in_service) override {
    CHECK(in_service.size() == plan_.groups.size());
    for (const std::unique_ptr<KvLayerStore>& store : layers_) {
      const int from = in_service[static_cast<size_t>(store->group)], all = blocks_of(store->group);
      if (store->geometry.kind() == KvKind::kState) {
        auto* first = reinterpret_cast<uint8_t*>(static_cast<CpuState&>(*store).first);
        give_pages(first, store->geometry.block_bytes(KvType::kF16), from, all);
        continue;
      }
      const cpu::KvLayer& layer = static_cast<CpuKv&>(*store).blocks;
      for (uint8_t* const blocks : {layer.k, layer.v})
        give_pages(blocks, layer.block_bytes(), from, all);
    }
  }

 private:
  // Gives back blocks [from, end) of those that begin at `blocks`.
  static void give_pages(uint8_t* blocks, int64_t block_bytes, int from, int end) {
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto at = reinterpret_cast<uintptr_t>(blocks);
    // Whole pages only: the first and the last may hold a neighbour's blocks, too.
    const uintptr_t first =
        (at + static_cast<uintptr_t>(block_bytes * from) + page - 1) / page * page;
    const uintptr_t last = (at + static_cast<uintptr_t>(block_bytes * end)) / page * page;
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
  // K of all blocks, then V.
  std::unique_ptr<CpuKv> attention_store(const KvGeometry& g, int group, KvType type,
                                         uint8_t* at) const {
    auto layer = std::make_unique<CpuKv>(g, group);
    layer->blocks.kv_heads = g.kv_heads;
    layer->blocks.head_dim = g.head_dim;
    layer->blocks.type = type;
    layer->blocks.k = at;
    layer->blocks.v = at + layer->blocks.block_bytes() * blocks_of(group);
    return layer;
  }
  int blocks_of(int group) const { return plan_.groups[static_cast<size_t>(group)].blocks; }

  void* const memory_;
  const size_t memory_bytes_;
};

}  // namespace

Result<std::unique_ptr<KvCache>> CpuBackend::make_kv_cache(const std::vector<KvGeometry>& layers,
                                                           KvPlan plan, KvType type) {
  CHECK(!plan.groups.empty() && plan.groups.front().blocks > 0);
  size_t bytes = 0;
  for (const KvGeometry& g : layers) {
    const int blocks = plan.groups[static_cast<size_t>(group_of(plan, g))].blocks;
    bytes += static_cast<size_t>(aligned(g.block_bytes(type) * blocks));
  }
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return fail(Code::kOutOfMemory, "[kv] could not reserve " + std::to_string(bytes >> 20) +
                                        " MiB for " + std::to_string(plan.groups.front().blocks) +
                                        " blocks; lower --kv-memory or --context");
  }
#ifdef MADV_HUGEPAGE
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return std::unique_ptr<KvCache>(
      std::make_unique<CpuKvCache>(layers, std::move(plan), type, memory, bytes));
}

}  // namespace pippin::nn
