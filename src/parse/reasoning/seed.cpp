// <seed:think> .. </seed:think>: Seed-OSS, which tells its budget in between.
#include "parse/reasoning/rows.h"

namespace pippin::parse {

using Turn = Mark::Turn;

constexpr ReasoningDialect kSeedThink = {
    .name = "seed_oss",
    .aliases = {"seed"},
    .marks = {{{Turn::kOpen, "<seed:think>"},
               {Turn::kClose, "</seed:think>"},
               {Turn::kDrop, "<seed:cot_budget_reflect>", "</seed:cot_budget_reflect>"}}},
    .detection = {.any = {"seed:think"}, .models = {"seed-oss", "seed_oss"}},
};

}  // namespace pippin::parse
