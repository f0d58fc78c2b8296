// <|think|> .. <|end|>, and the answer behind <|content|>: Solar Open.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kSolarThink = {
    .name = "solar_open",
    .marks = {{{Turn::kOpen, "<|think|>"},
               {Turn::kClose, "<|end|>"},
               {Turn::kClose, "<|content|>"},
               {Turn::kDrop, "<|begin|>assistant"}}},
    .anywhere = true,
    .detection = {.all = {"<|think|>", "<|content|>"}, .models = {"solar-open"}},
};

}  // namespace pippin::parse
