#include "app/convert.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "app/commands.h"
#include "app/default_model.h"
#include "app/interrupts.h"
#include "app/progress.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/size_text.h"
#include "base/thread_pool.h"
#include "models/families/gguf_form.h"
#include "service/json.h"
#include "service/models/gguf_tokenizer.h"
#include "store/checkpoint.h"
#include "store/gguf_folder_writer.h"
#include "store/gguf_writer.h"
#include "store/safetensors_writer.h"

namespace pippin::app {
namespace {

using service::JsonWriter;
using store::Conversion;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

template <typename Formats>
auto* format_named(const Formats& formats, const std::string& name) {
  const auto row = std::ranges::find(formats, name, [](const auto& format) { return format.name; });
  return row == formats.end() ? nullptr : &*row;
}

template <typename Formats>
std::string names_of(const Formats& formats) {
  std::vector<std::string_view> names;
  for (const auto& format : formats) names.push_back(format.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

/// What is to be written, and what the result is called.
struct Plan {
  Conversion conversion;
  std::string suffix;  // "-Q4_K_M.gguf"
};

Error no_format(const std::string& given) {
  return fail(Code::kInvalidArgument,
              fmt::format("--to: expected a format of GGUF files ({}) or of MLX folders ({}), but "
                          "got {:?}",
                          names_of(store::gguf_formats()), names_of(store::mlx_formats()), given),
              "--to");
}

Result<Conversion> plan_of_folder(const store::HfFolder& folder, const store::GgufFormat& format) {
  ASSIGN_OR_RETURN(const store::GgufForm form, models::gguf_form(folder));
  ASSIGN_OR_RETURN(const service::GgufTokenizer tokenizer, service::gguf_tokenizer(folder));
  ASSIGN_OR_RETURN(Conversion plan,
                   store::plan_gguf_of_folder(folder, form, tokenizer.keys, format));
  plan.notes.insert(plan.notes.end(), tokenizer.notes.begin(), tokenizer.notes.end());
  return plan;
}

Result<Plan> plan_of(const store::Checkpoint& checkpoint, const Settings& settings) {
  const std::string name = lower(settings.convert_to);
  const store::GgufFormat* gguf = format_named(store::gguf_formats(), name);
  const store::MlxFormat* mlx = format_named(store::mlx_formats(), name);
  if (gguf == nullptr && mlx == nullptr) return no_format(settings.convert_to);
  Plan plan;
  if (gguf != nullptr) {
    if (settings.convert_group != 0)
      return fail(Code::kInvalidArgument, "--group: GGUF's formats fix their groups", "--group");
    if (checkpoint.gguf() != nullptr) {
      ASSIGN_OR_RETURN(plan.conversion, store::plan_gguf(*checkpoint.gguf(), *gguf));
    } else {
      ASSIGN_OR_RETURN(plan.conversion, plan_of_folder(*checkpoint.folder(), *gguf));
    }
    plan.suffix = fmt::format("-{}.gguf", gguf->label);
    return plan;
  }
  if (checkpoint.folder() == nullptr)
    return fail(Code::kUnsupported,
                fmt::format("{} is a GGUF file, and {} is a format of MLX folders, which are made "
                            "of a folder of safetensors: pull the model's original repository, or "
                            "use --to {}",
                            checkpoint.path(), name, names_of(store::gguf_formats())),
                "--to");
  const bool is_mxfp4 = mlx->type == TensorType::kMXFP4;
  const int group = settings.convert_group != 0 ? settings.convert_group : is_mxfp4 ? 32 : 64;
  if (!store::can_encode({mlx->type, group}))
    return fail(
        Code::kInvalidArgument,
        fmt::format("--group: expected {}, but got {}", is_mxfp4 ? "32" : "32, 64 or 128", group),
        "--group");
  ASSIGN_OR_RETURN(plan.conversion, store::plan_mlx_folder(checkpoint.path(), *mlx, group));
  plan.suffix = "-" + name;
  return plan;
}

/// Returns the name beside the models of pippin's folder: the source's, with another format.
std::string default_out(const hub::LocalModel& model, const std::string& suffix,
                        const hub::Paths& paths) {
  std::string id = model.id;
  if (!model.quant.empty()) {
    const size_t at = lower(id).rfind(lower(model.quant));
    if (at != std::string::npos && at > 0 && at + model.quant.size() == id.size())
      id.resize(at - 1);
  }
  std::ranges::replace_if(
      id, [](char c) { return c == '/' || c == ':'; }, '-');
  return (paths.models / (id + suffix)).string();
}

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

double bits_per_weight(const Conversion& plan) {
  return static_cast<double>(plan.bytes()) * 8 /
         std::max(1.0, static_cast<double>(plan.elements()));
}

void print_json(const Conversion& plan, const std::string& out, bool is_dry,
                const store::ConversionReport& report) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().field("out", out).field("format", plan.format).field("dry_run", is_dry);
  json.field("bytes", plan.bytes()).field("parameters", plan.elements());
  json.key("bits_per_weight").number(bits_per_weight(plan));
  if (!is_dry) {
    json.field("manifest", report.manifest);
    json.field("resumed_tensors", uint64_t{report.resumed_tensors});
  }
  json.key("notes").begin_array();
  for (const std::string& note : plan.notes) json.string(note);
  json.end_array().key("tensors").begin_array();
  for (const store::ConvertedTensor& tensor : plan.tensors) {
    json.begin_object().field("name", tensor.name).field("from", tensor.from);
    json.field("to", tensor.to).field("bytes", tensor.bytes.sum()).key("shape").begin_array();
    for (const int64_t size : tensor.shape) json.integer(size);
    json.end_array().end_object();
  }
  json.end_array().end_object();
  fmt::print("{}\n", text);
}

void print_table(const Conversion& plan) {
  size_t width = 6;
  for (const store::ConvertedTensor& tensor : plan.tensors)
    width = std::max(width, tensor.name.size());
  fmt::print("{:<{}}  {:<12}  {:<12}  {:>10}  SHAPE\n", "TENSOR", width, "FROM", "TO", "SIZE");
  for (const store::ConvertedTensor& tensor : plan.tensors)
    fmt::print("{:<{}}  {:<12}  {:<12}  {:>10}  {}\n", printable(tensor.name), width, tensor.from,
               tensor.to, size_text(static_cast<double>(tensor.bytes.sum())),
               shape_text(tensor.shape));
}

std::string sum_text(const Conversion& plan) {
  return fmt::format("{} tensors, {}, {:.2f} bits per weight", plan.tensors.size(),
                     size_text(static_cast<double>(plan.bytes())), bits_per_weight(plan));
}

Result<store::ConversionReport> write(const Conversion& plan, const std::string& out,
                                      const std::string& version) {
  const SystemClock clock;
  Progress line("converting", stderr, is_terminal(stderr), clock);
  store::ConversionOptions options;
  options.out = out;
  options.version = version;
  options.threads = allowed_cpus();
  options.progress = [&](uint64_t done, uint64_t total, const std::string&) {
    line.update(done, total);
    return !Interrupts::pending();
  };
  Interrupts::set(OnInterrupt::kCount);
  Result<store::ConversionReport> report = store::write_conversion(plan, options);
  Interrupts::set(OnInterrupt::kQuit);
  if (report.ok()) line.finish();
  return report;
}

}  // namespace

Result<int> convert(const Settings& settings, const std::string& named,
                    const std::string& version) {
  if (named.empty())
    return fail(Code::kInvalidArgument, "convert what? as in: pippin convert MODEL --to q4_k_m",
                "--");
  if (settings.convert_to.empty()) return no_format("");
  ASSIGN_OR_RETURN(const hub::Paths paths, model_paths(settings, environment_variable));
  ASSIGN_OR_RETURN(const hub::LocalModel model, hub::resolve(named, paths));
  ASSIGN_OR_RETURN(const store::Checkpoint checkpoint,
                   store::Checkpoint::open(model.path.string()));
  ASSIGN_OR_RETURN(const Plan plan, plan_of(checkpoint, settings));
  const std::string out =
      settings.convert_out.empty() ? default_out(model, plan.suffix, paths) : settings.convert_out;
  for (const std::string& note : plan.conversion.notes) fmt::print(stderr, "note: {}\n", note);
  store::ConversionReport report;
  if (!settings.convert_dry_run) {
    ASSIGN_OR_RETURN(report, write(plan.conversion, out, version));
    if (report.resumed_tensors > 0)
      fmt::print(stderr, "went on after {} tensors of an earlier run\n", report.resumed_tensors);
    if (!report.anew.empty()) fmt::print(stderr, "began anew: {}\n", report.anew);
  }
  if (settings.convert_json) {
    print_json(plan.conversion, out, settings.convert_dry_run, report);
    return kExitOk;
  }
  if (settings.convert_dry_run) print_table(plan.conversion);
  fmt::print("{}\n{}\n", sum_text(plan.conversion), out);
  return kExitOk;
}

}  // namespace pippin::app
