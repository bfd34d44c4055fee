// Checks a GameMaker project without GameMaker and without a network: the schema of its files, what the extension's functions may
// look like, that all that is listed is there, and all GML: syntax, unknown names, arguments that are missing or too many.
// Usage: node check.mjs PROJECT.yyp, from a copy in a directory with @bscotch/yy@2.7.0 and @bscotch/gml-parser@1.17.2. Exit code 1
// if something is wrong. SELF_TEST=1 checks that mistakes are found instead.
import { Project } from '@bscotch/gml-parser';
import { Yy } from '@bscotch/yy';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';

// The parser asks the network for the list of functions of the project's GameMaker version. Its package has one inside.
const { Native } = await import(new URL('./project.native.js', import.meta.resolve('@bscotch/gml-parser')));
Native.listSpecFiles = async () => [Native.fallbackGmlSpecPath];
Native.findHelpLinksFile = async () => undefined;

const TYPED = { extensions: 'extensions', scripts: 'scripts', objects: 'objects', rooms: 'rooms' };

function checkFiles(yyp, problems) {
	const root = dirname(yyp);
	const read = (path, kind) => {
		try { return Yy.readSync(path, kind); } catch (error) { problems.push(`${relative(root, path)}: ${error.message}`); }
	};
	const project = read(yyp, 'project');
	for (const { id } of project?.resources ?? []) {
		const path = join(root, id.path);
		const kind = id.path.split('/')[0];
		if (!existsSync(path)) problems.push(`${id.path} is listed, but not there`);
		else if (!TYPED[kind]) problems.push(`${id.path} is of a kind that is not checked`);
		else {
			const asset = read(path, TYPED[kind]);
			if (asset && asset.name !== id.name) problems.push(`${id.path} has the name ${asset.name}`);
			const folder = asset?.parent?.path;
			if (asset && !project.Folders.some((f) => f.folderPath === folder)) problems.push(`${id.path} is in ${folder}, which is none`);
			if (kind === 'extensions') for (const file of asset?.files ?? []) checkFunctions(id.path, file, problems);
		}
	}
}

function checkFunctions(path, file, problems) {
	const names = new Set();
	for (const f of file.functions) {
		const bad = (what) => problems.push(`${path}: ${f.name} ${what}`);
		const documented = f.documentation.match(/@param/g)?.length ?? 0;
		const helped = f.help.match(/\((.*)\)/)?.[1].split(',').filter((s) => s.trim()).length;
		if (names.has(f.name)) bad('is there twice');
		names.add(f.name);
		if (f.args.length !== f.argCount) bad(`has ${f.args.length} arguments, but argCount ${f.argCount}`);
		if (documented !== f.args.length || helped !== f.args.length) bad('has other arguments in its documentation or help');
		if (f.args.length > 16) bad('has more than 16 arguments');
		if (f.args.length > 3 && f.args.includes(1)) bad('has more than three arguments and texts among them');
		if ([...f.args, f.returnType].some((kind) => kind !== 1 && kind !== 2)) bad('has a type that is none');
		if (!/@description \S/.test(f.documentation)) bad('has no description');
	}
	return names;
}

// What the parser does not tell: too many arguments. Comments and texts are blanked first.
function countArguments(root, assets, problems) {
	const code = new Map();
	const limits = new Map();
	for (const path of assets.gml) {
		const text = readFileSync(join(root, path), 'utf8').replace(/\/\/.*|\/\*[^]*?\*\/|"(?:[^"\\\n]|\\.)*"/g, (s) => (s[0] === '"' ? '""' : s.replace(/[^\n]/g, ' ')));
		code.set(path, text);
		for (const [, name, parameters] of text.matchAll(/\bfunction\s+(\w+)\s*\(((?:[^()]|\([^()]*\))*)\)/g)) {
			const list = parameters.split(',').filter((s) => s.trim());
			limits.set(name, [list.filter((s) => !s.includes('=')).length, list.length]);
		}
	}
	for (const f of assets.functions) limits.set(f.name, [f.argCount, f.argCount]);
	let calls = 0;
	for (const [path, text] of code) {
		for (const match of text.matchAll(/(function\s+)?\b(\w+)\s*\(/g)) {
			const limit = limits.get(match[2]);
			if (!limit || match[1]) continue;
			let depth = 1;
			let at = match.index + match[0].length;
			let count = 0;
			let empty = true;
			for (; depth && at < text.length; at++) {
				if ('([{'.includes(text[at])) depth++;
				if (')]}'.includes(text[at])) depth--;
				if (text[at] === ',' && depth === 1) count++;
				if (depth && text[at].trim()) empty = false;
			}
			count += empty ? 0 : 1;
			calls++;
			const line = text.slice(0, match.index).split('\n').length;
			if (count < limit[0] || count > limit[1]) problems.push(`${path}:${line}: ${match[2]} takes ${limit.join(' to ')} arguments, not ${count}`);
		}
	}
	return calls;
}

async function parse(yyp, problems) {
	const root = dirname(yyp);
	const told = new Map();
	const kept = { ...console };
	for (const level of ['log', 'info', 'warn', 'error', 'debug']) console[level] = () => {}; // the parser tells what it does
	let project;
	try {
		project = await Project.initialize(yyp, { onDiagnostics: ({ filePath, diagnostics }) => told.set(filePath, diagnostics) });
	} catch (error) {
		problems.push(`the project can't be loaded: ${error.message}`);
	} finally {
		Object.assign(console, kept);
	}
	for (const [path, diagnostics] of told) {
		for (const d of Array.isArray(diagnostics) ? diagnostics : Object.values(diagnostics).flat()) {
			if (d.severity !== 'info') problems.push(`${relative(root, path)}:${d.location?.start?.line}: ${d.message}`);
		}
	}
	const assets = { gml: [], functions: [] };
	for (const asset of project?.assets.values() ?? []) {
		const yy = asset.assetKind === 'extensions' && Yy.readSync(join(root, 'extensions', asset.name, `${asset.name}.yy`), 'extensions');
		if (yy) assets.functions.push(...yy.files.flatMap((file) => file.functions));
		else assets.gml.push(...asset.gmlFilesArray.map((file) => relative(root, String(file.path))));
	}
	return assets;
}

async function check(yyp) {
	const problems = [];
	checkFiles(yyp, problems);
	const assets = problems.length ? { gml: [], functions: [] } : await parse(yyp, problems);
	const calls = countArguments(dirname(yyp), assets, problems);
	return { problems, gml: assets.gml.length, functions: assets.functions.length, calls };
}

// Each mistake has to be found.
const MISTAKES = [
	['scripts/gmpunch_api/gmpunch_api.gml', 'gmpunch_send_to(_host, _peer)', 'gmpunch_send_to(_host)', /arguments/],
	['scripts/gmpunch_api/gmpunch_api.gml', 'gmpunch_send_to(_host, _peer)', 'gmpunch_send_to(_host, _peer, 1)', /takes 2 to 2 arguments, not 3/],
	['scripts/gmpunch_io/gmpunch_io.gml', 'gmpunch_tick(', 'gmpunch_tock(', /gmpunch_tock/],
	['scripts/gmpunch_io/gmpunch_io.gml', 'network_resolve(_server)', 'network_resolve()', /network_resolve|argument/i],
	['scripts/udphp/udphp.gml', 'udphp_find_client(_client);', 'udphp_find_client(_client;', /./],
	['objects/obj_host/Step_0.gml', 'GMPUNCH_EVENT_JOINED', 'GMPUNCH_EVENT_JOINT', /GMPUNCH_EVENT_JOINT/],
	['extensions/gmpunch/gmpunch.yy', '"argCount":3', '"argCount":4', /argCount/],
	['extensions/gmpunch/gmpunch.yy', '"returnType":2', '"returnType":"two"', /returnType/],
	['gmpunch_demo.yyp', 'scripts/udphp/udphp.yy', 'scripts/nothing/nothing.yy', /not there/],
	['rooms/room_demo/room_demo.yy', '"Height":540', '"Height":"high"', /Height/],
];

async function selfTest(yyp) {
	let missed = 0;
	for (const [path, from, to, expected] of MISTAKES) {
		const copy = mkdtempSync(join(tmpdir(), 'gmpunch-check-'));
		try {
			cpSync(dirname(yyp), copy, { recursive: true });
			const text = readFileSync(join(copy, path), 'utf8');
			writeFileSync(join(copy, path), text.replace(from, to));
			const { problems } = await check(join(copy, basename(yyp)));
			if (text.includes(from) && problems.some((p) => expected.test(p))) continue;
			missed++;
			console.log(`NOT FOUND: ${to} in ${path}: ${problems.join('; ')}`);
		} finally {
			rmSync(copy, { recursive: true, force: true });
		}
	}
	console.log(`${MISTAKES.length - missed} of ${MISTAKES.length} mistakes found`);
	return missed;
}

if (process.env.SELF_TEST) process.exit((await selfTest(process.argv[2])) ? 1 : 0);
const { problems, gml, functions, calls } = await check(process.argv[2]);
for (const problem of problems) console.log(`FAILED: ${problem.replace(/\s+/g, ' ').slice(0, 300)}`);
console.log(`${gml} GML files, ${functions} functions of the extension, ${calls} calls with counted arguments, ${problems.length} problems`);
process.exit(problems.length || gml < 10 || calls < 100 ? 1 : 0);
