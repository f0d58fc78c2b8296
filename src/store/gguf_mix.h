// GgufMix: which type each tensor of a GGUF file takes in a weight format. A plain value; thread:
// any. Internal to store. Source: llama.cpp's llama_tensor_get_type().
#pragma once

#include <string_view>
#include <vector>

#include "store/gguf_writer.h"
#include "store/tensor.h"

namespace pippin::store {

class GgufMix {
 public:
  /// `layers`: of the model. `is_tied`: the embedding is the output, too.
  GgufMix(const GgufFormat& format, int layers, bool is_tied)
      : format_(format), layers_(layers), is_tied_(is_tied) {}

  /// Whether a tensor takes the format's types. Norms, routers, convolutions and the like are
  /// small, and answers depend on them.
  static bool is_weight(std::string_view name, const std::vector<int64_t>& shape);
  /// Returns the type of a weight, one whose blocks its rows are whole numbers of.
  TensorType type_of(std::string_view name, int64_t columns) const;

 private:
  bool takes_more_bits(int layer) const;
  TensorType wanted(std::string_view name) const;

  const GgufFormat& format_;
  int layers_;
  bool is_tied_;
};

}  // namespace pippin::store
