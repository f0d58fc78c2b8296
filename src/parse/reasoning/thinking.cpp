// <thinking> .. </thinking>: Apriel, which may name the final response, and models asked to think
// so.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kThinking = {
    .name = "thinking",
    .aliases = {"apriel"},
    .marks = {{{Turn::kOpen, "<thinking>"},
               {Turn::kClose, "</thinking>"},
               {Turn::kClose, "[BEGIN FINAL RESPONSE]"},
               {Turn::kDrop, "[END FINAL RESPONSE]"}}},
    .signs = {.any = {"<thinking>"}, .models = {"apriel"}},
};

}  // namespace pippin::parse
