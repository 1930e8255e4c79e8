//! JSON Schemas of the documents, made from their types. `scripts/docs` writes them to `docs/schemas`, and the
//! shipped program prints those files (`verbs/schema`), so it does not carry the generator.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::args;
use crate::render::{failure, publish, torture};
use crate::verbs::{
    abort, begin, bisect, blame, cat, completions, current, diff, doctor, du, export, forget, gc, history,
    import, init, list, log, mark, pin, promote, pull, push, put, rebuild, remote, restart, resume, schema,
    serve, show, status, switch, trust, unpin, verify, view, wait,
};
use crate::watching::events;

/// Returns the names of all documents, as in their field `schema`, and their schemas.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        of::<abort::AbortDoc>("genstore.abort/1"),
        of::<begin::BeginDoc>("genstore.begin/1"),
        of::<bisect::BisectDoc>("genstore.bisect/1"),
        of::<blame::BlameDoc<'_>>("genstore.blame/1"),
        of::<cat::CatDoc>("genstore.cat/1"),
        of::<completions::CompletionsDoc>("genstore.completions/1"),
        of::<current::PlaceDoc>("genstore.current/1"),
        of::<diff::DiffDoc>("genstore.diff/1"),
        of::<doctor::DoctorDoc>("genstore.doctor/1"),
        of::<du::DuDoc>("genstore.du/1"),
        of::<failure::Failure>("genstore.error/1"),
        of::<export::ExportDoc>("genstore.export/1"),
        of::<export::ArchivedDoc>("genstore.export-archive/1"),
        of::<wait::MoveDoc>("genstore.follow/1"),
        of::<forget::ForgotDoc>("genstore.forget/1"),
        of::<gc::GcDoc>("genstore.gc/1"),
        of::<history::HistoryDoc<'_>>("genstore.history/1"),
        of::<import::ImportedDoc>("genstore.import/1"),
        of::<init::InitDoc>("genstore.init/1"),
        of::<list::ListDoc<'_>>("genstore.list/1"),
        of::<log::LogDoc<'_>>("genstore.log/1"),
        of::<mark::MarkDoc<'_>>("genstore.mark/1"),
        of::<current::PlaceDoc>("genstore.path/1"),
        of::<pin::PinnedDoc<'_>>("genstore.pin/1"),
        of::<promote::PromotedDoc<'_>>("genstore.promote/1"),
        of::<publish::PublishDoc>("genstore.publish/1"),
        of::<pull::PulledDoc<'_>>("genstore.pull/1"),
        of::<push::PushedDoc<'_>>("genstore.push/1"),
        of::<put::PutDoc>("genstore.put/1"),
        of::<rebuild::RebuildDoc>("genstore.rebuild/1"),
        of::<remote::define::DefinedDoc<'_>>("genstore.remote-add/1"),
        of::<remote::forget::ForgotRemotelyDoc>("genstore.remote-forget/1"),
        of::<remote::collect::CollectedDoc>("genstore.remote-gc/1"),
        of::<remote::log::LogDoc>("genstore.remote-log/1"),
        of::<remote::define::ListDoc<'_>>("genstore.remote-ls/1"),
        of::<remote::names::PinDoc<'_>>("genstore.remote-pin/1"),
        of::<remote::define::DefinedDoc<'_>>("genstore.remote-rm/1"),
        of::<remote::test::TestedDoc<'_>>("genstore.remote-test/1"),
        of::<remote::names::PinDoc<'_>>("genstore.remote-unpin/1"),
        of::<remote::verify::VerifiedDoc>("genstore.remote-verify/1"),
        of::<restart::RestartDoc<'_>>("genstore.restart/1"),
        of::<resume::ResumeDoc>("genstore.resume/1"),
        of::<switch::ActivationDoc>("genstore.rollback/1"),
        of::<schema::SchemaListDoc>("genstore.schema-list/1"),
        of::<serve::ServeDoc>("genstore.serve/1"),
        of::<show::ShowDoc>("genstore.show/1"),
        of::<status::StatusDoc>("genstore.status/1"),
        of::<switch::ActivationDoc>("genstore.switch/1"),
        of::<torture::TortureDoc>("genstore.torture/1"),
        of::<trust::TrustDoc>("genstore.trust/1"),
        of::<unpin::UnpinnedDoc<'_>>("genstore.unpin/1"),
        of::<verify::VerifyDoc>("genstore.verify/1"),
        of::<args::VersionDoc>("genstore.version/1"),
        of::<view::AddedDoc>("genstore.view-add/1"),
        of::<view::ListDoc>("genstore.view-list/1"),
        of::<view::RemovedDoc>("genstore.view-remove/1"),
        of::<current::PlaceDoc>("genstore.wait/1"),
        of::<events::Timed<'_>>("genstore.watch/1"),
    ]
}

fn of<T: JsonSchema>(name: &'static str) -> (&'static str, Value) {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    schema["title"] = json!(name);
    // A later version of the program may add fields.
    if let Some(named) = schema["properties"].get_mut("schema") {
        *named = json!({ "const": name });
    }
    (name, schema)
}
