// GigaChat 3: <|function_call|> and a JSON call.
#include "parse/tool/rows.h"

namespace pippin::parse {

constexpr ToolDialect kGigachat = {
    .name = "gigachat",
    .start_markers = {"<|function_call|>", "function call<|role_sep|>",
                      "<|message_sep|>\n\nfunction call<|role_sep|>"},
    .detection = {.any = {"<|function_call|>", "<function_usage>"}, .models = {"gigachat"}},
    .envelope = {.prefix = "<|function_call|>{\"name\": \"",
                 .infix = kJsonInfix,
                 .suffix = kJsonSuffix},
    .head = json_head,
    .tail = json_tail,
};

}  // namespace pippin::parse
