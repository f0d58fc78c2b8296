// Gate: the activation of a gated feed-forward layer. Thread: any.
#pragma once

#include <cstdint>

namespace pippin::nn {

enum class Gate : uint8_t { kSilu, kGeluTanh };

}  // namespace pippin::nn
