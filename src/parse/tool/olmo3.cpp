// OLMo 3: <function_calls>, a Python call in each line, </function_calls>.
#include "parse/tool/rows.h"

namespace pippin::parse {

constexpr ToolDialect kOlmo3 = {
    .name = "olmo3",
    .start_markers = {"<function_calls>"},
    .end_markers = {"</function_calls>"},
    .detection = {.all = {"<function_calls>"}, .none = {"DSML"}, .models = {"olmo-3", "olmo3"}},
    .envelope = {.section_begin = "<function_calls>",
                 .infix = "(",
                 .suffix = ")",
                 .separator = "\n",
                 .section_end = "</function_calls>",
                 .form = ArgumentForm::kKeywords},
    .head = keyword_head,
    .tail = keyword_tail,
};

}  // namespace pippin::parse
