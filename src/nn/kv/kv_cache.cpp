#include "nn/kv/kv_cache.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "mlx/ops.h"

namespace pippin::nn {

namespace mx = mlx::core;

Result<KvCache> KvCache::for_cpu(const std::vector<KvGeometry>& layers, KvPlan plan,
                                 cpu::KvType type) {
  CHECK(!plan.groups.empty() && plan.groups.front().blocks > 0);
  KvCache cache;
  const auto blocks_of = [&](int group) { return plan.groups[static_cast<size_t>(group)].blocks; };
  for (const KvGeometry& g : layers) {
    cache.memory_bytes_ += static_cast<size_t>(g.block_bytes(type)) *
                           static_cast<size_t>(blocks_of(group_of(plan, g)));
  }
  void* memory = mmap(nullptr, cache.memory_bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return fail(Code::kOutOfMemory, "[kv] could not reserve " +
                                        std::to_string(cache.memory_bytes_ >> 20) + " MiB for " +
                                        std::to_string(plan.groups.front().blocks) +
                                        " blocks; lower --kv-memory or --context");
  }
  cache.memory_ = memory;
#ifdef MADV_HUGEPAGE
  madvise(memory, cache.memory_bytes_, MADV_HUGEPAGE);
#endif
  auto* at = static_cast<uint8_t*>(memory);
  for (const KvGeometry& g : layers) {
    KvLayerStore store;
    store.geometry = g;
    store.group = group_of(plan, g);
    store.cpu.kv_heads = g.kv_heads;
    store.cpu.head_dim = g.head_dim;
    store.cpu.type = type;
    const int64_t bytes = store.cpu.block_bytes() * blocks_of(store.group);
    store.cpu.k = at;
    store.cpu.v = at + bytes;
    at += 2 * bytes;
    cache.layers_.push_back(std::move(store));
  }
  cache.plan_ = std::move(plan);
  return cache;
}

KvCache KvCache::for_stock(const std::vector<KvGeometry>& layers, KvPlan plan, mx::Dtype dtype) {
  KvCache cache;
  for (const KvGeometry& g : layers) {
    KvLayerStore store;
    store.geometry = g;
    store.group = group_of(plan, g);
    const int blocks = plan.groups[static_cast<size_t>(store.group)].blocks;
    const mx::Shape shape{blocks * cpu::KvLayer::kBlock, g.kv_heads, g.head_dim};
    store.k = mx::zeros(shape, dtype);
    store.v = mx::zeros(shape, dtype);
    cache.layers_.push_back(std::move(store));
  }
  cache.plan_ = std::move(plan);
  return cache;
}

KvCache::KvCache(KvCache&& other) noexcept { *this = std::move(other); }

KvCache& KvCache::operator=(KvCache&& other) noexcept {
  std::swap(layers_, other.layers_);
  std::swap(plan_, other.plan_);
  std::swap(memory_, other.memory_);
  std::swap(memory_bytes_, other.memory_bytes_);
  return *this;
}

KvCache::~KvCache() {
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

void KvCache::give_back(std::span<const int> in_service) {
  CHECK(in_service.size() == plan_.groups.size());
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  for (const KvLayerStore& layer : layers_) {
    const auto group = static_cast<size_t>(layer.group);
    const int64_t block = layer.cpu.block_bytes();
    for (uint8_t* const blocks : {layer.cpu.k, layer.cpu.v}) {
      const auto at = reinterpret_cast<uintptr_t>(blocks);
      // Whole pages only: the first and the last may hold a neighbour's blocks, too.
      const uintptr_t from =
          (at + static_cast<uintptr_t>(block * in_service[group]) + page - 1) / page * page;
      const uintptr_t to =
          (at + static_cast<uintptr_t>(block * plan_.groups[group].blocks)) / page * page;
      if (from < to) madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
    }
  }
}

void KvCache::copy_block(int from, int to, int group) {
  for (KvLayerStore& layer : layers_) {
    if (layer.group != group) continue;
    if (layer.k) {
      constexpr int kBlock = cpu::KvLayer::kBlock;
      const auto move = [&](mx::array& stored) {
        const int heads = layer.geometry.kv_heads, dim = layer.geometry.head_dim;
        const mx::array source = mx::slice(stored, mx::Shape{from * kBlock, 0, 0},
                                           mx::Shape{(from + 1) * kBlock, heads, dim});
        stored = mx::slice_update(stored, source, mx::Shape{to * kBlock, 0, 0},
                                  mx::Shape{(to + 1) * kBlock, heads, dim});
      };
      move(*layer.k);
      move(*layer.v);
      continue;
    }
    const int64_t n = layer.cpu.block_bytes();
    std::memcpy(layer.cpu.k + to * n, layer.cpu.k + from * n, static_cast<size_t>(n));
    std::memcpy(layer.cpu.v + to * n, layer.cpu.v + from * n, static_cast<size_t>(n));
  }
}

}  // namespace pippin::nn
