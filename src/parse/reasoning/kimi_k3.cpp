// Kimi K3: thinking and answer stand in tags of their own.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kKimiK3Think = {
    .name = "kimi_k3",
    .marks = {{{Turn::kOpen, "<|open|>think<|sep|>"},
               {Turn::kClose, "<|close|>think<|sep|>"},
               {Turn::kClose, "<|open|>response<|sep|>"},
               {Turn::kDrop, "<|close|>response<|sep|>"},
               {Turn::kDrop, "<|close|>message<|sep|>"}}},
    .anywhere = true,
    .end = "<|close|>think<|sep|><|open|>response<|sep|>",
    .detection = {.all = {"<|open|>", "<|sep|>"}, .models = {"kimi-k3", "kimi_k3"}},
};

}  // namespace pippin::parse
