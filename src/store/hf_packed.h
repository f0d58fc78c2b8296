// hf_packed: the tensors of a module that GPTQ, AWQ, compressed-tensors or FP8 quantised, as one
// weight. Internal to store.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/hf_quantisation.h"
#include "store/safetensors.h"
#include "store/tensor.h"

namespace pippin::store {

/// A module's tensors, by what they are: "weight", "bias", "scales", "qweight".
using HfModule = std::map<std::string_view, const SafetensorsEntry*>;

/// Whether a tensor's kind is one that these methods give modules.
bool is_packed_kind(std::string_view kind);
/// Whether a tensor of these methods says nothing of the weights: scales of activations and of KV.
bool is_activation_scale(std::string_view name);

/// Says whether the module is quantised so.
bool is_packed(const HfModule& module);

/// Returns the weight [N, K] of a quantised module, without a name. `name`: the module's; `path` is
/// for messages. Errors: kInvalidFile, kUnsupported, naming the tensor. Requires:
/// is_packed(module).
Result<TensorView> read_packed(const OtherSettings& settings, const std::string& name,
                               const HfModule& module, const std::string& path);

}  // namespace pippin::store
