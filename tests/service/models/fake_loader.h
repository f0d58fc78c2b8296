// FakeLoader: a model pool's loader whose models are made up: of a size, and nothing else. Thread:
// as ModelLoader.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "service/models/model_loader.h"

namespace pippin::service::testing_models {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;
// Of weights; with its cache and scratch each model takes 100 MiB.
inline constexpr uint64_t kWeights = 20 * kMiB, kModel = 100 * kMiB;

/// Counts the models that live, as a device's memory would.
struct Device {
  std::atomic<uint64_t> bytes{0}, bytes_max{0};
  std::atomic<int> loads{0};

  void take(uint64_t more) {
    const uint64_t now = bytes += more;
    uint64_t seen = bytes_max;
    while (seen < now && !bytes_max.compare_exchange_weak(seen, now)) {
    }
  }
};

class FakeEngine final : public engine::Engine {
 public:
  FakeEngine(Device& device, const MemoryPlan& plan)
      : device_(device),
        fixed_bytes_(plan.bytes_total() - plan.kv_bytes),
        bytes_(plan.bytes_total()) {
    device_.take(bytes_);
  }
  ~FakeEngine() override { device_.bytes -= bytes_; }

  bool resize_kv(const std::vector<int>& blocks) override {
    if (!gives_back) return false;
    device_.bytes -= bytes_;
    bytes_ = fixed_bytes_ + kMiB * static_cast<uint64_t>(blocks.front());
    device_.take(bytes_);
    return true;
  }
  bool gives_back = true;
  bool has_failed() const override { return failed; }
  std::atomic<bool> failed = false;

  Result<std::shared_ptr<engine::EventStream>> submit(engine::Submission) override {
    return fail(Code::kUnavailable, "a fake");
  }
  engine::EngineStatus status() const override { return {}; }
  const engine::EngineMetrics& metrics() const override { return metrics_; }
  const engine::EngineOptions& options() const override { return options_; }
  void drain(Duration) override {}

 private:
  Device& device_;
  const uint64_t fixed_bytes_;
  uint64_t bytes_;
  engine::EngineMetrics metrics_;
  engine::EngineOptions options_;
};

class FakeLoader final : public ModelLoader {
 public:
  Device device;
  std::map<std::string, uint64_t> weights;    // where they are not kWeights
  std::map<std::string, std::string> broken;  // the load's error
  bool elastic = false;                       // caches take what there is, 16 MiB at least
  bool gives_back = true;                     // what they took
  std::vector<std::string> loaded;            // in order
  std::vector<std::string> paths;             // of all loads that were tried
  std::function<void(const Progress&)> during;
  std::function<void()> on_size;  // called as a size is asked for

  Result<ModelInfo> describe(const ModelSpec& spec) override {
    ModelInfo info;
    info.id = spec.load.id;
    info.aliases = spec.load.aliases;
    return info;
  }
  Result<MemorySizing> size(const ModelSpec& spec) override {
    if (on_size) on_size();
    return size_of(spec);
  }
  MemorySizing size_of(const ModelSpec& spec) const {
    MemorySizing sizing;
    const auto own = weights.find(spec.load.id);
    sizing.needs.weights_bytes = own == weights.end() ? kWeights : own->second;
    sizing.needs.kv = {{KvKind::kFull, 1, static_cast<int64_t>(kMiB)}};
    sizing.needs.context_tokens_max = 256;
    if (!elastic) sizing.options.kv_bytes = 16 * kMiB;
    return sizing;
  }
  Result<std::unique_ptr<Model>> load(const ModelSpec& spec, uint64_t bytes_max,
                                      const Progress& progress) override {
    ++device.loads;
    paths.push_back(spec.load.path);
    if (during) during(progress);
    if (const auto wrong = broken.find(spec.load.id); wrong != broken.end())
      return fail(Code::kInvalidFile, wrong->second);
    MemorySizing sizing = size_of(spec);
    sizing.options.memory_bytes_max = bytes_max;
    auto model = std::make_unique<Model>();
    model->id = spec.load.id;
    model->aliases = spec.load.aliases;
    ASSIGN_OR_RETURN(model->plan, plan_memory(sizing.needs, sizing.options, sizing.machine));
    auto engine = std::make_unique<FakeEngine>(device, model->plan);
    engine->gives_back = gives_back;
    model->engine = std::move(engine);
    loaded.push_back(spec.load.id);
    return model;
  }
};

}  // namespace pippin::service::testing_models
