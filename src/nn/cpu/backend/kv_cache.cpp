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
      const int64_t block = g.block_bytes(type), bytes_all = block * blocks_of(group);
      if (g.kind() == KvKind::kState) {
        layers_.push_back(std::make_unique<CpuState>(g, group, reinterpret_cast<float*>(at)));
        extents_.push_back({group, at, block});
      } else if (g.latent > 0) {
        layers_.push_back(std::make_unique<CpuLatent>(g, group, reinterpret_cast<uint16_t*>(at)));
        extents_.push_back({group, at, block});
      } else {
        layers_.push_back(attention_store(g, group, type, at));
        extents_.push_back({group, at, block / 2});
        extents_.push_back({group, at + bytes_all / 2, block / 2});
      }
      at += aligned(bytes_all);
    }
  }
  ~CpuKvCache() override { munmap(memory_, memory_bytes_); }

  void copy_block(int from, int to, int group) override {
    for (const Extent& extent : extents_) {
      if (extent.group != group) continue;
      std::memcpy(extent.at + to * extent.block, extent.at + from * extent.block,
                  static_cast<size_t>(extent.block));
    }
  }

  bool can_give_back() const override { return true; }
  void give_back(std::span<const int> in_service) override {
    CHECK(in_service.size() == plan_.groups.size());
    for (const Extent& extent : extents_)
      give_pages(extent.at, extent.block, in_service[static_cast<size_t>(extent.group)],
                 blocks_of(extent.group));
  }

 private:
  // Blocks of a layer that lie one behind the other: of K, of V, of compressed rows or of states.
  struct Extent {
    int group;
    uint8_t* at;
    int64_t block;  // bytes
  };

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

  std::vector<Extent> extents_;
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
