// The real Runner: a model, its KV blocks and a sampler per sequence, on one device. Free of MLX
// headers, so that the service may include it. Owner: the engine. Thread: made and used on the
// device thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/kv_plan.h"
#include "base/model_inputs.h"
#include "base/result.h"
#include "engine/core/runner.h"
#include "nn/backend/device.h"
#include "nn/types/kv_type.h"

namespace pippin::store {
class Checkpoint;
}

namespace pippin::engine {

// Devices are the backends' affair: who stands above asks by these.
using nn::device_named;
using nn::device_traits;
using nn::DeviceKind;
using nn::DeviceTraits;
using nn::gpu_memory;

/// How keys and values are kept. A GPU takes bf16 in place of f16.
using KvType = nn::KvType;

/// What the memory plan and the APIs need to know of a model before it is loaded.
struct ModelInfo {
  std::string architecture;
  int vocab = 0;
  int context_tokens_max = 0;   // what the model was made for
  ModelInputs inputs;           // what it takes besides token ids
  std::vector<KvGroupSpec> kv;  // the group that keeps every position is the first
  std::string kv_type;          // "f16", "int8", "bf16": what blocks hold
  int latent_values = 0;        // kept of a position in each layer with compressed K and V (MLA)
  int embedding = 0, feed_forward = 0;  // widths; the widest layer's
  int64_t weight_bytes = 0;             // of all tensors as the device keeps them
};

/// Errors: kInvalidFile; kUnsupported, also of a device that does not have that type of KV yet.
Result<ModelInfo> inspect_model(const store::Checkpoint& checkpoint,
                                DeviceKind device = DeviceKind::kCpu,
                                KvType kv_type = KvType::kF16);

/// Which ops run the model. kReference is stock MLX in f32: slow on a CPU, the oracle of the
/// others.
enum class OpsPath : uint8_t { kFast, kReference };

struct RunnerOptions {
  DeviceKind device = DeviceKind::kCpu;
  OpsPath ops = OpsPath::kFast;
  bool exact_activations = false;  // f32 activations in the CPU kernels instead of int8
  KvType kv_type = KvType::kF16;   // int8: of the CPU's fast path only
  int threads = 0;                 // 0 = all allowed CPUs
  KvPlan kv;                       // the groups of the model's KV, and their blocks
  std::function<void(uint64_t done, uint64_t total)>
      progress;  // bytes of weights read; called on the device thread
};

/// Loads the model. The files must stay mapped only during this call. Errors: of the files,
/// kOutOfMemory, kUnsupported (no such device, or one without that type of KV).
Result<std::unique_ptr<Runner>> make_runner(const store::Checkpoint& checkpoint,
                                            const RunnerOptions& options);

}  // namespace pippin::engine
