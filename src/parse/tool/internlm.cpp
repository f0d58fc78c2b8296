// InternLM 2 and 3: <|action_start|><|plugin|>, a JSON call, <|action_end|>.
#include "parse/tool/rows.h"

namespace pippin::parse {

constexpr ToolDialect kInternlm = {
    .name = "internlm",
    .aliases = {"internlm2", "intern"},
    .start_markers = {"<|action_start|><|plugin|>", "<|action_start|> <|plugin|>"},
    .end_markers = {"<|action_end|>"},
    .detection = {.any = {"<|action_start|>", "<|plugin|>"}, .models = {"internlm"}},
    .envelope = {.prefix = "<|action_start|><|plugin|>\n{\"name\": \"",
                 .infix = "\", \"parameters\": ",
                 .suffix = "}<|action_end|>",
                 .separator = "\n"},
    .head = json_head,
    .tail = json_tail,
};

}  // namespace pippin::parse
